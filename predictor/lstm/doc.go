// Package lstm forecasts one series with a small LSTM trained on that series:
// every step to the horizon at once, as quantiles.
//
// It is the only package that imports gorgonia, and it may import models and
// predictor/features besides. Training builds a gorgonia graph of a few fused
// operations (one of them the whole LSTM layer, with its own backward pass
// through time), differentiates it with gorgonia.Grad and runs it on a tape
// machine. A trained Model holds plain slices: it forecasts without a graph,
// takes microseconds, and may be used by many goroutines at once.
//
// The network is a correction to a baseline. In a transformed and scaled space
// the baseline of a step ahead is the value one season before, moved by the
// level since (the last value where there is no season), and the output is the
// quantiles of what is left. Zero output is the baseline, so a network that has
// learnt nothing is a seasonal naive forecast with empirical quantiles.
//
//	values ─ transform ─┬─ level, scale, baseline (context only)
//	                    │
//	   context ─────────┴─► LSTM ─► last hidden state ─┐
//	   recent residuals, level moves ──────────────────┼─► + ─► median ± cumulative softplus ─► 9 quantiles
//	   seasonal values at the steps ahead ─────────────┘
//
// The parts:
//
//	config.go      Config, Data, Quantiles, Info: what goes in and comes out
//	model.go       the trained model, and the fused forward pass of one window
//	train.go       the training loop: early stopping, going on from an earlier model
//	calibrate.go   the conformal correction of the outer quantiles
//	scaler.go windows.go   from a series to the network's inputs and targets
//	network.go     weights, forward and backward passes on plain slices
//	op.go loss.go graph.go   the same as gorgonia operations, and the graph of a training step
//	solver.go      Adam with a global-norm clip, a finite check and saveable state
//	checkpoint.go  the file format
//	kernels*.go    matrix and activation kernels: portable, and AVX2+FMA made by asm/
//
// Sources: LSTM, Hochreiter and Schmidhuber 1997 with the forget gate of Gers
// 2000; the direct quantile head follows MQ-RNN (Wen et al. 2017); the linear
// path beside the recurrent one follows LSTNet (Lai et al. 2018); Adam is Kingma
// and Ba 2015; calibration is conformalized quantile regression (Romano et al. 2019).
package lstm
