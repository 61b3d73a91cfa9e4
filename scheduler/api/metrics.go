package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"loadstar/models"
)

// scrapeTimeout bounds what one scrape asks of the scheduler.
const scrapeTimeout = 5 * time.Second

func (a *API) addMetrics() error {
	a.count = &requestCounter{vec: prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "loadstar_http_requests_total", Help: "Requests answered, by method and status.",
	}, []string{"method", "code"})}
	for _, c := range []prometheus.Collector{
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		a.count.vec,
		newScrape(a),
	} {
		var twice prometheus.AlreadyRegisteredError
		if err := a.cfg.Registry.Register(c); err != nil && !errors.As(err, &twice) {
			return fmt.Errorf("register the metrics: %w", err)
		}
	}
	a.mux.Handle("GET /metrics", promhttp.HandlerFor(a.cfg.Registry, promhttp.HandlerOpts{
		ErrorHandling:      promhttp.ContinueOnError, // the rest is worth having
		DisableCompression: true,
	}))
	a.huma.OpenAPI().AddOperation(&huma.Operation{
		OperationID: "metrics", Method: http.MethodGet, Path: "/metrics", Tags: []string{"health"},
		Summary: "Metrics in the Prometheus text format", Responses: answers("200", "OK", text("text/plain", "")),
	})
	return nil
}

type requestCounter struct{ vec *prometheus.CounterVec }

// add counts a request. A method that HTTP does not know is not a label: a
// client could make up any number of them.
func (c *requestCounter) add(method string, status int) {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions:
	default:
		method = "other"
	}
	c.vec.WithLabelValues(method, strconv.Itoa(status)).Inc()
}

// scrape reads the scheduler and the forecasts when Prometheus asks, so that the
// metrics cost nothing in between and cannot be stale.
type scrape struct {
	api   *API
	descs map[string]*prometheus.Desc
}

func newScrape(a *API) *scrape {
	s := &scrape{api: a, descs: map[string]*prometheus.Desc{}}
	for _, d := range []struct {
		name, help string
		labels     []string
	}{
		{"ready", "1 once the journal has been replayed.", nil},
		{"tasks", "Tasks by pool and state, since the state folder began.", []string{"pool", "state"}},
		{"tasks_finished_per_second", "Tasks finished a second, over the last ten seconds.", nil},
		{"submit_to_start_seconds", "Recent time from submission to start.", []string{"quantile"}},
		{"submit_to_done_seconds", "Recent time from submission to the end.", []string{"quantile"}},
		{"pool_workers", "Workers of a pool: ready (busy ones included), busy, starting, wanted, min, max.", []string{"pool", "state"}},
		{"pool_queued", "Tasks ready to run that wait for a worker.", []string{"pool"}},
		{"pool_waiting", "Tasks blocked, scheduled or in backoff.", []string{"pool"}},
		{"pool_oldest_wait_seconds", "How long the oldest queued task has waited.", []string{"pool"}},
		{"pool_cold_start_seconds", "P90 of the measured cold starts, else the configured one.", []string{"pool"}},
		{"pool_paused", "1 where the pool is paused.", []string{"pool"}},
		{"pool_trouble", "1 where workers of the pool do not start.", []string{"pool"}},
		{"pool_prestarted_total", "Workers started ahead of any reactive need.", []string{"pool"}},
		{"pool_arrived_total", "Tasks that became ready to run.", []string{"pool"}},
		{"pool_started_total", "Attempts started.", []string{"pool"}},
		{"pool_finished_total", "Attempts finished.", []string{"pool"}},
		{"pool_wait_seconds_total", "Seconds waited from ready to start, over all attempts.", []string{"pool"}},
		{"pool_run_seconds_total", "Seconds run, over all attempts.", []string{"pool"}},
		{"agent_slots", "Slots of an agent.", []string{"agent"}},
		{"agent_busy", "Slots of an agent in use.", []string{"agent"}},
		{"agent_load_score", "Load of an agent's host, 0 idle to 1 full.", []string{"agent"}},
		{"series_value", "The newest value of a series, in its own unit.", []string{"series", "unit"}},
		{"forecast_value", "The champion's forecast of the next step.", []string{"series", "step", "quantile"}},
		{"forecast_champion", "1 for the model that is used.", []string{"series", "step", "model"}},
		{"forecast_mase", "Mean absolute scaled error over the recent scored forecasts.", []string{"series", "step", "model"}},
		{"forecast_wape", "Weighted absolute percentage error, as a share.", []string{"series", "step", "model"}},
		{"forecast_pinball", "Mean pinball loss over P10, P50 and P90, in the series' unit.", []string{"series", "step", "model"}},
		{"forecast_coverage", "Share of actual values within P10 to P90; 0.8 is right.", []string{"series", "step", "model"}},
		{"forecast_scored", "Scored targets that the measures rest on.", []string{"series", "step", "model"}},
	} {
		s.descs[d.name] = prometheus.NewDesc("loadstar_"+d.name, d.help, d.labels, nil)
	}
	return s
}

// Describe sends nothing: which series there are is not known before a scrape.
func (s *scrape) Describe(chan<- *prometheus.Desc) {}

// Collect is called by Prometheus for every scrape.
func (s *scrape) Collect(out chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), scrapeTimeout)
	defer cancel()
	ready := s.api.cfg.Ready()
	s.gauge(out, "ready", truth(ready))
	if !ready {
		return
	}
	if stats, err := s.api.cfg.Tasks.Stats(ctx); err == nil {
		s.stats(out, stats)
	} else {
		out <- prometheus.NewInvalidMetric(s.descs["tasks"], err)
	}
	if pools, err := s.api.cfg.Tasks.Pools(ctx); err == nil {
		for i := range pools {
			s.pool(out, &pools[i])
		}
	} else {
		out <- prometheus.NewInvalidMetric(s.descs["pool_workers"], err)
	}
	if agents, err := s.api.cfg.Tasks.Agents(ctx); err == nil {
		for _, g := range agents {
			s.gauge(out, "agent_slots", float64(g.Slots), g.ID)
			s.gauge(out, "agent_busy", float64(g.Busy), g.ID)
			s.gauge(out, "agent_load_score", g.LoadScore, g.ID)
		}
	} else {
		out <- prometheus.NewInvalidMetric(s.descs["agent_slots"], err)
	}
	s.series(out)
	if found, err := s.api.cfg.Forecasts.Current("", 0); err == nil {
		for i := range found {
			s.forecast(out, &found[i])
		}
	} else {
		out <- prometheus.NewInvalidMetric(s.descs["forecast_mase"], err)
	}
}

func (s *scrape) gauge(out chan<- prometheus.Metric, name string, v float64, labels ...string) {
	s.send(out, prometheus.GaugeValue, name, v, labels)
}

func (s *scrape) counter(out chan<- prometheus.Metric, name string, v float64, labels ...string) {
	s.send(out, prometheus.CounterValue, name, v, labels)
}

func (s *scrape) send(out chan<- prometheus.Metric, kind prometheus.ValueType, name string, v float64, labels []string) {
	m, err := prometheus.NewConstMetric(s.descs[name], kind, v, labels...)
	if err != nil { // a label that is not UTF-8, say
		m = prometheus.NewInvalidMetric(s.descs[name], err)
	}
	out <- m
}

func (s *scrape) stats(out chan<- prometheus.Metric, stats models.Stats) {
	for _, p := range stats.Pools {
		for _, state := range models.States() {
			s.gauge(out, "tasks", float64(p.Tasks[state]), p.Name, string(state))
		}
	}
	s.gauge(out, "tasks_finished_per_second", stats.TasksPerS)
	for name, q := range map[string]models.Quantiles{"submit_to_start_seconds": stats.SubmitToStart, "submit_to_done_seconds": stats.SubmitToDone} {
		s.gauge(out, name, q.P50/1000, "0.5")
		s.gauge(out, name, q.P95/1000, "0.95")
		s.gauge(out, name, q.P99/1000, "0.99")
	}
}

func (s *scrape) pool(out chan<- prometheus.Metric, p *models.PoolStatus) {
	for state, n := range map[string]int{"ready": p.Ready, "busy": p.Busy, "starting": p.Starting, "wanted": p.Wanted, "min": p.Min, "max": p.Max} {
		s.gauge(out, "pool_workers", float64(n), p.Name, state)
	}
	s.gauge(out, "pool_queued", float64(p.Queued), p.Name)
	s.gauge(out, "pool_waiting", float64(p.Waiting), p.Name)
	s.gauge(out, "pool_oldest_wait_seconds", p.OldestWaitS, p.Name)
	s.gauge(out, "pool_cold_start_seconds", p.ColdStartS, p.Name)
	s.gauge(out, "pool_paused", truth(p.Paused), p.Name)
	s.gauge(out, "pool_trouble", truth(p.Trouble != ""), p.Name)
	s.counter(out, "pool_prestarted_total", float64(p.Prestarted), p.Name)
	s.counter(out, "pool_arrived_total", float64(p.Counters.Arrived), p.Name)
	s.counter(out, "pool_started_total", float64(p.Counters.Started), p.Name)
	s.counter(out, "pool_finished_total", float64(p.Counters.Finished), p.Name)
	s.counter(out, "pool_wait_seconds_total", p.Counters.WaitS, p.Name)
	s.counter(out, "pool_run_seconds_total", p.Counters.RunS, p.Name)
}

// series is the newest value of each series, at its finest step.
func (s *scrape) series(out chan<- prometheus.Metric) {
	finest := map[string]models.SeriesInfo{}
	for _, i := range s.api.cfg.Metrics.Series() {
		if best, ok := finest[i.Name]; !ok || i.StepS < best.StepS {
			finest[i.Name] = i
		}
	}
	for name, i := range finest {
		if i.Points > 0 {
			s.gauge(out, "series_value", i.Last, name, i.Unit)
		}
	}
}

func (s *scrape) forecast(out chan<- prometheus.Metric, f *models.SeriesForecast) {
	step := strconv.FormatFloat(f.StepS, 'g', -1, 64)
	for _, m := range f.Models {
		s.gauge(out, "forecast_champion", truth(m.Model == f.Champion), f.Series, step, m.Model)
		s.gauge(out, "forecast_scored", float64(m.N), f.Series, step, m.Model)
		for name, v := range map[string]*float64{"forecast_mase": m.MASE, "forecast_wape": m.WAPE, "forecast_pinball": m.Pinball, "forecast_coverage": m.Coverage} {
			if v != nil {
				s.gauge(out, name, *v, f.Series, step, m.Model)
			}
		}
	}
	for _, c := range f.Forecasts {
		if c.Model != f.Champion || len(c.P10) == 0 || len(c.P50) == 0 || len(c.P90) == 0 {
			continue
		}
		s.gauge(out, "forecast_value", c.P10[0], f.Series, step, "0.1")
		s.gauge(out, "forecast_value", c.P50[0], f.Series, step, "0.5")
		s.gauge(out, "forecast_value", c.P90[0], f.Series, step, "0.9")
	}
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
