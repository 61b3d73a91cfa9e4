// Package keda lets a Kubernetes deployment follow a pool: it answers KEDA's
// external scaler interface with the number of workers that the pool's last decision
// asked for. A ScaledObject names the pool in its trigger's metadata:
//
//	KEDA ── GetMetricSpec ─► target 1 a replica
//	     ── GetMetrics ────► workers wanted        replicas = wanted / 1
//	     ── IsActive ──────► wanted above 0        else scaled to zero
//
// The generated code is in externalscaler. It imports models and grpc.
package keda
