package worker

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// echo is a good worker, on ServeStdio.
type echo struct{}

func (echo) Initialize(_ context.Context, p InitializeParams) error {
	if p.Protocol != ProtocolVersion || p.Worker == "" || p.Pool == "" || p.MaxLine != MaxLine {
		return fmt.Errorf("odd parameters: %+v", p)
	}
	if want, ok := os.LookupEnv("CONFIG"); ok && string(p.Config) != want {
		return fmt.Errorf("config %s, want %s", p.Config, want)
	}
	if os.Getenv("REFUSE") != "" {
		return errors.New("no model here")
	}
	return nil
}

func (echo) Run(ctx context.Context, p RunParams, say Say) (any, error) {
	var what string
	json.Unmarshal(p.Input, &what)
	switch what {
	case "wait":
		say.Log("waiting")
		<-ctx.Done()
		return nil, context.Cause(ctx)
	case "fail":
		return nil, errors.New("it does not work")
	case "fail 7":
		return nil, &TaskError{Message: "it does not work", ExitCode: 7}
	case "panic":
		panic("oh")
	case "long":
		return strings.Repeat("x", MaxLine), nil
	case "all":
		return p, nil
	}
	say.Progress(0.5, "half way")
	say.Log("a line")
	fmt.Fprintln(os.Stderr, "to stderr")
	return "done: " + what, nil
}

func playServe() int {
	if err := ServeStdio(context.Background(), os.Stdin, os.Stdout, echo{}); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// playWorker is a worker that goes wrong in one way or another.
func playWorker(how string) int {
	in := bufio.NewScanner(os.Stdin)
	next := func() message {
		if !in.Scan() {
			os.Exit(0)
		}
		m, err := decodeMessage(in.Bytes())
		if err != nil {
			os.Exit(99)
		}
		return m
	}
	answer := func(m message, rest string) {
		fmt.Printf(`{"jsonrpc":"2.0","id":%s,%s}`+"\n", m.ID, rest)
	}
	garbage := func(n int) {
		for range n {
			fmt.Println("this is no message")
		}
	}
	switch how {
	case "never-ready":
		hang()
	case "dies-young":
		fmt.Fprintln(os.Stderr, "cannot load the model")
		return 3
	case "refuses":
		m := next()
		answer(m, `"error":{"code":-32000,"message":"wrong driver"}`)
		hang()
	case "garbage-first":
		garbage(9) // one less than is allowed, and once more below
		answer(next(), `"result":{}`)
		garbage(8)
		m := next()
		fmt.Println("a print of the task")
		answer(m, `"result":"fine"`)
		next()
		return 0
	}
	answer(next(), `"result":{}`)
	switch how {
	case "ends":
		return 0
	case "hangs":
		hang()
	case "does-not-read":
		hang()
	case "closes-stdout":
		os.Stdout.Close()
		hang()
	case "garbage":
		garbage(10)
		hang()
	case "flood":
		line := strings.Repeat("a word or two ", 100)
		for range 10_000 {
			fmt.Fprintln(os.Stderr, line)
		}
		fmt.Fprint(os.Stderr, strings.Repeat("no line ", 500_000))
	case "deaf":
		signal.Ignore(syscall.SIGTERM)
		hang()
	}
	m := next()
	switch how {
	case "crashes":
		fmt.Fprintln(os.Stderr, "first\nboom: out of cheese")
		return 3
	case "aborts":
		syscall.Kill(os.Getpid(), syscall.SIGKILL)
		hang()
	case "result-then-exit":
		answer(m, `"result":"just in time"`)
		return 4
	case "ignores-cancel":
		fmt.Println(`{"jsonrpc":"2.0","method":"log","params":{"message":"busy"}}`)
		hang()
	case "long-line":
		io.WriteString(os.Stdout, strings.Repeat("x", MaxLine+1)+"\n")
		hang()
	case "asks":
		fmt.Println(`{"jsonrpc":"2.0","id":"q","method":"sample","params":{}}`)
		reply := next()
		answer(m, `"result":`+string(mustJSON(strconv.Itoa(reply.Error.Code)+string(reply.ID))))
	case "other-answers":
		fmt.Println(`{"jsonrpc":"2.0","id":4711,"result":"for nobody"}`)
		fmt.Println(`{"jsonrpc":"2.0","id":"` + string(m.ID) + `","result":"a text is not our id"}`)
		answer(m, `"result":"mine"`)
	default:
		answer(m, `"result":null`)
	}
	for next().Method != "shutdown" {
	}
	return 0
}

func mustJSON(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return b
}

func hang() { time.Sleep(time.Hour) }
