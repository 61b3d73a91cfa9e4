#!/usr/bin/env node
// A Loadstar worker in JavaScript (Node.js), without dependencies.
//
//   pools:
//     shout: {kind: stdio, command: [node, worker.mjs], max: 4}
//
// A task's input is a text, or {"text": "...", "times": 3}; its result is the text
// in capitals.
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';

const send = (message) => process.stdout.write(JSON.stringify({ jsonrpc: '2.0', ...message }) + '\n');
console.log = console.error; // only messages may go to standard output

let model;
let running; // an AbortController while a task runs

async function loadModel() {
  await sleep(50); // the cold start: whatever takes long and is needed once
  return (text) => text.toUpperCase();
}

async function work({ task_id, input }) {
  const { text, times = 1, pause = 0 } = typeof input === 'string' ? { text: input } : input;
  const done = [];
  for (let i = 0; i < times; i++) {
    await sleep(pause * 1000, undefined, { signal: running.signal });
    done.push(model(text));
    send({ method: 'progress', params: { task_id, done: (i + 1) / times } });
  }
  return done.join(' ');
}

const handlers = {
  async initialize() {
    model = await loadModel();
    return { busy_ping: true }; // ready: pings are answered during a task, too
  },
  run(params) {
    running = new AbortController();
    return work(params);
  },
  cancel() { running?.abort(new Error('cancelled')); },
  ping() { return {}; },
  shutdown() { setImmediate(() => process.exit(0)); return {}; },
};

const lines = createInterface({ input: process.stdin });
lines.on('close', () => process.exit(0));
lines.on('line', async (line) => {
  const { id, method, params } = JSON.parse(line);
  try {
    const result = await handlers[method]?.(params);
    if (id !== undefined) send({ id, result: result ?? null });
  } catch (e) {
    const message = running?.signal.aborted ? 'cancelled' : e.message;
    send({ id, error: { code: 1, message, data: { exit_code: 1 } } });
  }
});
