package app

import (
	"io"
	"log/slog"
	"time"

	"github.com/lmittmann/tint"

	"loadstar/cmd/internal/config"
)

// NewLogger writes diagnostics as the configuration asks: lines for a person, or JSON.
func NewLogger(cfg config.Config, w io.Writer, color bool) *slog.Logger {
	if cfg.LogFormat == "json" {
		return slog.New(slog.NewJSONHandler(w, &slog.HandlerOptions{Level: cfg.Level()}))
	}
	return slog.New(tint.NewTextHandler(w, &tint.Options{Level: cfg.Level(), TimeFormat: time.DateTime, NoColor: !color}))
}
