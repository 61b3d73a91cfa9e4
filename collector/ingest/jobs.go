package ingest

import (
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"loadstar/models"
)

// Job is one row of a job log.
type Job struct {
	SubmitS   float64 // seconds from the start of the log
	DurationS float64 // seconds of work
	CPUs      float64 // 1 where the log does not say
	Priority  float64 // 0 where the log does not say
}

// ReadJobs reads `submit_s,duration_s[,cpus,priority,more columns]` and returns the
// jobs by submission. A header names the columns, in any order; without one they
// stand as here. An error is a *models.FieldError with the line in name.
func ReadJobs(r io.Reader, name string) ([]Job, error) {
	rows := newRows(r, name)
	var jobs []Job
	columns := []string{"submit_s", "duration_s", "cpus", "priority"}
	place := []int{0, 1, 2, 3} // of each in a row; -1 where the header has none
	header := func(cells []string) error {
		for i, column := range columns {
			place[i] = slices.IndexFunc(cells, func(c string) bool { return strings.EqualFold(strings.TrimSpace(c), column) })
			if i < 2 && place[i] < 0 {
				return rows.fail(1, column, "the header has no such column")
			}
		}
		return nil
	}
	err := rows.each(columns[:2], header, func(line int, cells []string) error {
		job := Job{CPUs: 1}
		for i, into := range []*float64{&job.SubmitS, &job.DurationS, &job.CPUs, &job.Priority} {
			if i < 2 && place[i] >= len(cells) {
				return rows.fail(line, columns[i], "the row has no such column")
			}
			if place[i] < 0 || place[i] >= len(cells) || i > 1 && cells[place[i]] == "" {
				continue
			}
			v, err := parseValue(cells[place[i]])
			if err == nil && v < 0 {
				err = fmt.Errorf("%s is negative", strconv.FormatFloat(v, 'g', -1, 64))
			}
			if err != nil {
				return rows.fail(line, columns[i], err.Error())
			}
			*into = v
		}
		jobs = append(jobs, job)
		return nil
	})
	if err != nil {
		return nil, err
	}
	if len(jobs) == 0 {
		return nil, &models.FieldError{Source: name, Problem: "no job in it"}
	}
	slices.SortStableFunc(jobs, func(a, b Job) int {
		switch {
		case a.SubmitS < b.SubmitS:
			return -1
		case a.SubmitS > b.SubmitS:
			return 1
		}
		return 0
	})
	return jobs, nil
}

// IsJobLog reports whether a file's first line is the header of a job log.
func IsJobLog(firstLine string) bool {
	return strings.HasPrefix(strings.TrimPrefix(firstLine, "\ufeff"), "submit_s,duration_s")
}

// MaxBins is how many steps Bin makes; jobs submitted later are left out.
const MaxBins = MaxRows

// Bin counts the jobs submitted in each step, from second 0 to the last job; steps
// without a job are zeros. start is the time that is given to second 0.
func Bin(jobs []Job, start time.Time, step time.Duration) []models.Point {
	if len(jobs) == 0 || step <= 0 {
		return nil
	}
	last := 0.0
	for _, j := range jobs {
		last = math.Max(last, j.SubmitS)
	}
	n := int(math.Min(last/step.Seconds(), MaxBins-1)) + 1
	points := make([]models.Point, n)
	for i := range points {
		points[i].At = start.Add(time.Duration(i) * step)
	}
	for _, j := range jobs {
		if at := j.SubmitS / step.Seconds(); at < float64(n) {
			points[int(at)].Value++
		}
	}
	return points
}
