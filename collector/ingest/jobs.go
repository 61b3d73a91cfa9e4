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

// ReadJobs reads `submit_s,duration_s[,cpus,priority,more columns]` with a header
// or without one, and returns the jobs by submission. An error is a
// *models.FieldError with the line in name.
func ReadJobs(r io.Reader, name string) ([]Job, error) {
	rows := newRows(r, name)
	var jobs []Job
	columns := []string{"submit_s", "duration_s", "cpus", "priority"}
	err := rows.each(columns[:2], func(line int, cells []string) error {
		job := Job{CPUs: 1}
		for i, into := range []*float64{&job.SubmitS, &job.DurationS, &job.CPUs, &job.Priority} {
			if i >= len(cells) || i > 1 && cells[i] == "" {
				break
			}
			v, err := parseValue(cells[i])
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
	const mostBins = 50_000_000
	n := int(math.Min(last/step.Seconds(), mostBins)) + 1
	points := make([]models.Point, n)
	for i := range points {
		points[i].At = start.Add(time.Duration(i) * step)
	}
	for _, j := range jobs {
		points[min(n-1, int(j.SubmitS/step.Seconds()))].Value++
	}
	return points
}
