package page

import (
	"time"

	"loadstar/models"
)

// Request is something a page wants done outside of it.
type Request any

// What can be asked of the daemon. Each is answered by the result named beside it,
// or by Failed.
type (
	LoadInfo   struct{}                      // InfoLoaded
	LoadHost   struct{}                      // HostLoaded
	LoadStats  struct{}                      // StatsLoaded
	LoadPools  struct{}                      // PoolsLoaded
	LoadQueues struct{}                      // QueuesLoaded
	LoadAgents struct{}                      // AgentsLoaded
	LoadActive struct{ F models.TaskFilter } // ActiveLoaded
	LoadTrails struct{ Since time.Time }     // TrailsLoaded
	LoadTasks  struct {
		Gen, Index int
		F          models.TaskFilter
	} // TasksLoaded
	LoadTask      struct{ ID string } // TaskLoaded
	LoadDecisions struct {
		Pool  string
		Limit int
		At    time.Time // made by then; zero is now
	} // DecisionsLoaded
	LoadSeries    struct{} // SeriesLoaded
	LoadForecasts struct {
		Series string
		StepS  float64
		At     time.Time // as they stood then; zero is now
	} // ForecastsLoaded
	// LoadChart asks for a series' values and for the forecasts made so many steps ahead of them.
	LoadChart struct { // ChartLoaded
		Series   string
		StepS    float64
		From, To time.Time
		Horizon  int       // 0: no forecasts
		At       time.Time // the moment shown; zero is now
		RowStepS float64   // of the forecasts; 0 is StepS
	}
	OpenLog struct {
		ID           string
		Attempt, Gen int
	} // LogOpened, LogChunk …
	CloseLog struct{}

	Cancel struct{ Selection models.Selection } // Acted
	Retry  struct {
		Selection      models.Selection
		WithDependents bool
	}
	Prioritize struct {
		Selection models.Selection
		Priority  models.Priority
	}
	SetPool struct {
		Name  string
		Patch models.PoolPatch
	} // PoolSet
)

// What can be asked of the root model.
type (
	Ask struct{ Dialog Dialog }
	Say struct {
		Text string
		Bad  bool
	} // a line that goes away by itself
	After struct {
		Delay time.Duration
		Msg   any
	}
	// Show turns to a page, by its place in the tabs.
	Show struct{ Page int }
)

// The results.
type (
	InfoLoaded   struct{ Info models.DaemonInfo }
	HostLoaded   struct{ Host models.HostStatus }
	StatsLoaded  struct{ Stats models.Stats }
	PoolsLoaded  struct{ Pools []models.PoolStatus }
	TrailsLoaded struct{ Points map[string][]models.Point }
	QueuesLoaded struct {
		At     time.Time
		Queues []models.QueueStatus
	}
	AgentsLoaded struct{ Agents []models.Agent }
	ActiveLoaded struct {
		LoadActive
		Page models.TaskPage
	}
	TasksLoaded struct {
		LoadTasks
		Page models.TaskPage
	}
	TaskLoaded struct {
		LoadTask
		Task        models.Task
		Explanation models.Explanation
	}
	DecisionsLoaded struct {
		LoadDecisions
		Decisions []models.Decision
	}
	SeriesLoaded    struct{ Series []models.SeriesInfo }
	ForecastsLoaded struct {
		LoadForecasts
		Forecasts []models.SeriesForecast
	}
	ChartLoaded struct {
		LoadChart
		Points []models.Point
		Rows   []models.ForecastRow
	}
	LogChunk struct {
		OpenLog
		Data []byte
		EOF  bool
		Err  string
	}
	Acted struct {
		What   string
		Result models.BulkResult
	}
	PoolSet struct{ Pool models.PoolStatus }
	// Failed says that a request could not be done, though the daemon is there.
	Failed struct {
		Request Request
		Why     string
	}
	// Events are what happened lately, oldest first.
	Events struct{ Events []models.Event }
)

// RowStep is the step in seconds of the forecasts that a chart compares with.
func (r *LoadChart) RowStep() float64 {
	if r.RowStepS > 0 {
		return r.RowStepS
	}
	return r.StepS
}
