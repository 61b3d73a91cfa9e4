#!/usr/bin/env python3
"""A Loadstar worker in Python: a model loaded once, then many tasks.

    pools:
      shout: {kind: stdio, command: [python3, worker.py], max: 4, config: {load_s: 2}}

A task's input is a text, or {"text": "...", "times": 3}; its result is the text in
capitals. Needs nothing but the standard library.
"""
import json
import sys
import threading
import time

messages = sys.stdout  # only messages may go there, so prints go to stderr
sys.stdout = sys.stderr
writing = threading.Lock()
cancelled = threading.Event()


def send(**message):
    with writing:
        messages.write(json.dumps({"jsonrpc": "2.0", **message}) + "\n")
        messages.flush()


def load_model(config):
    """The cold start: whatever takes long and is needed once. The config is the pool's."""
    time.sleep(config.get("load_s", 0.05))
    return str.upper


def work(model, params):
    task = params["input"]
    if isinstance(task, str):
        task = {"text": task}
    text, times = task["text"], task.get("times", 1)
    done = []
    for i in range(times):
        if cancelled.wait(task.get("pause", 0)):
            raise RuntimeError("cancelled")
        done.append(model(text))
        send(method="progress", params={"task_id": params["task_id"], "done": (i + 1) / times})
    return " ".join(done)


def run(model, request, params):
    try:
        send(id=request, result=work(model, params))
    except Exception as e:
        print("task", params["task_id"], "failed:", repr(e))
        send(id=request, error={"code": 1, "message": str(e) or repr(e), "data": {"exit_code": 1}})


model = None
for line in sys.stdin:
    message = json.loads(line)
    method, request = message["method"], message.get("id")
    if method == "initialize":
        model = load_model(message["params"].get("config", {}))
        send(id=request, result={"busy_ping": True})  # ready: pings are answered during a task, too
    elif method == "run":
        cancelled.clear()
        threading.Thread(target=run, args=(model, request, message["params"])).start()
    elif method == "cancel":
        cancelled.set()
    elif method == "ping":
        send(id=request, result={})
    elif method == "shutdown":
        send(id=request, result={})
        break
cancelled.set()  # standard input has ended: so does the worker
