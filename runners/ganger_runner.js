#!/usr/bin/env node
// SPDX-License-Identifier: MIT
/* A warm runner for JavaScript functions, of Node alone; docs/runner-protocol.md is the protocol.
 *
 *     [function thumbnail]
 *     kind = runner
 *     runner = ["node", "/usr/share/ganger/runners/ganger_runner.js"]
 *     call = /srv/app/pictures.js:thumbnail
 *
 * `call` is "module:name"; the module is a path or a name that import() takes (CommonJS or ESM), the name one of its
 * exports. Arguments by name come as one object behind the others. The result is what the function, or its promise,
 * gives: JSON, or bytes (Buffer, Uint8Array) as they are. A generator, also an async one, yields partial results. What
 * is thrown is the job's error. While a task runs:
 *
 *     ganger.task                       { id, name, attempt, deadline, inputs }
 *         deadline as of performance.now(); inputs.data is the path of the job's blob "data"
 *     ganger.progress(3, 10, 'tile 3')
 *     ganger.log('half of it', 'warning')
 *     ganger.signal                     an AbortSignal: cancelled, or out of time
 *     execFile('ganger', ['show', 'self'])  as this job: GANGER_URL and GANGER_TOKEN are its own
 *
 * A function that is to be cancelled without costing the runner looks at the signal, or gives it to what it awaits.
 * `init` of the function is "module:name", called without arguments before the first task. */
'use strict';
const fs = require('fs');
const net = require('net');
const path = require('path');
const { pathToFileURL } = require('url');

const OUT = Number(process.env.GANGER_OUT_FD || 4);
const OUTBOX = Number(process.env.GANGER_OUTBOX_FD || 6);
const SHM_FROM = 256 * 1024; // larger bodies go through the outbox

// The paths of the job's blobs, by name.
function inputsOf(keys) {
  return Object.fromEntries(Object.entries(keys).filter(([key]) => key.startsWith('input.'))
    .map(([key, value]) => [key.slice(6), value.slice(0, value.lastIndexOf(':'))]));
}

function writeAll(fd, bytes, at) {
  for (let sent = 0; sent < bytes.length;) {
    sent += fs.writeSync(fd, bytes, sent, bytes.length - sent, at === null ? null : at + sent);
  }
}

function put(verb, id, body = Buffer.alloc(0), keys = {}) {
  if (verb === 'RESULT' && body.length > SHM_FROM) {
    fs.ftruncateSync(OUTBOX, 0);
    writeAll(OUTBOX, body, 0);
    keys.shm = `/proc/self/fd/6:${body.length}`;
    body = Buffer.alloc(0);
  }
  let head = `${verb} ${id} ${body.length}`;
  for (const [key, value] of Object.entries(keys)) {
    head += ` ${key}=${encodeURIComponent(String(value)).replace(/%2F/g, '/').replace(/%3A/g, ':')}`;
  }
  writeAll(OUT, Buffer.concat([Buffer.from(`${head}\n`), body, Buffer.from(body.length ? '\n' : '')]), null);
}

let running = null; // { id, controller }

globalThis.ganger = {
  task: null,
  signal: null,
  progress(done, total = 1, text = '') {
    if (running) put('PROGRESS', running.id, Buffer.from(JSON.stringify([done, total, String(text)])));
  },
  log(text, level = 'info') {
    if (running) put('LOG', running.id, Buffer.from(String(text)), { level });
  },
};

function load(place) {
  const isFile = place.startsWith('/') || place.startsWith('.');
  return import(isFile ? pathToFileURL(path.resolve(place)).href : place);
}

async function find(name) {
  const colon = name.lastIndexOf(':');
  const place = name.slice(0, colon);
  if (colon < 1) throw new TypeError(`call must be "module:name", not "${name}"`);
  const module = await load(place);
  const found = name.slice(colon + 1).split('.').reduce((from, key) => from?.[key], module)
    ?? module.default?.[name.slice(colon + 1)];
  if (typeof found !== 'function') throw new TypeError(`"${name}" is no function`);
  return found;
}

function encode(value) {
  if (value instanceof Uint8Array) return ['raw', Buffer.from(value)];
  const text = JSON.stringify(value === undefined ? null : value);
  if (text === undefined) throw new TypeError(`a ${typeof value} is nothing that JSON can say`);
  return ['json', Buffer.from(text)];
}

async function call({ fn, args, kwargs }, id) {
  const more = Object.keys(kwargs).length ? [kwargs] : [];
  let value = await (await find(fn))(...args, ...more);
  const iterator = value?.[Symbol.asyncIterator] ?? value?.[Symbol.iterator];
  if (iterator && typeof value.next === 'function') {
    for (;;) {
      const step = await value.next();
      value = step.done ? step.value : value;
      if (step.done) break;
      const [codec, body] = encode(step.value);
      put('DATA', id, body, { codec });
    }
  }
  return encode(value);
}

function describe(error) {
  const type = error instanceof Error ? error.name : typeof error;
  const message = error instanceof Error ? error.message : String(error);
  const body = { type, message: message.slice(0, 100000), traceback: String(error?.stack ?? '').slice(0, 100000) };
  return [Buffer.from(JSON.stringify(body)), { type: type.slice(0, 100), codec: 'json' }];
}

// What a program finds that the task starts: the service, and who the task is there.
function own({ url, token }) {
  for (const [name, value] of [['GANGER_URL', url], ['GANGER_TOKEN', token]]) {
    if (value === undefined) delete process.env[name];
    else process.env[name] = value;
  }
}

async function run(id, keys, body) {
  own(keys);
  const controller = new AbortController();
  running = { id, controller };
  ganger.signal = controller.signal;
  ganger.task = {
    id, name: keys.name, attempt: Number(keys.attempt),
    deadline: keys.deadline_ms === undefined ? null : performance.now() + Number(keys.deadline_ms),
    inputs: inputsOf(keys),
  };
  let final;
  try {
    const [codec, value] = await call(JSON.parse(body), id);
    final = ['RESULT', id, value, { codec }];
  } catch (error) {
    final = controller.signal.aborted ? ['CANCELLED', id] : ['ERROR', id, ...describe(error)];
  }
  running = ganger.task = ganger.signal = null;
  own({});
  put(...final); // stdout and stderr are written at once when they are pipes
}

async function init(keys, body) {
  try {
    for (const name of (keys.preload ?? '').split(',').filter(Boolean)) await load(name);
    if (body.length) await (await find(body.toString().trim()))();
  } catch (error) {
    put('ERROR', 'init', ...describe(error));
    process.exit(1);
  }
  put('READY', 'init');
}

let last = Promise.resolve(); // what was begun is finished first

function take(verb, id, keys, body) {
  if (keys.shm) {
    const colon = keys.shm.lastIndexOf(':');
    body = fs.readFileSync(keys.shm.slice(0, colon)).subarray(0, Number(keys.shm.slice(colon + 1)));
  }
  if (verb === 'TASK') last = last.then(() => run(id, keys, body));
  else if (verb === 'INIT') last = last.then(() => init(keys, body));
  else if (verb === 'CANCEL' && running?.id === id) running.controller.abort();
  else if (verb === 'PING') put('PONG', id);
  else if (verb === 'QUIT') last.then(() => process.exit(0));
}

let pieces = [];
let have = 0;
let need = 0; // bytes of the frame; 0: its header has not come

function feed(bytes) {
  pieces.push(bytes);
  have += bytes.length;
  while (have >= Math.max(need, 1)) {
    let all = Buffer.concat(pieces);
    const end = all.indexOf('\n');
    if (end < 0) { pieces = [all]; return; }
    const [verb, id, length, ...pairs] = all.toString('latin1', 0, end).split(' ');
    need = end + 1 + (Number(length) ? Number(length) + 1 : 0);
    if (have < need) { pieces = [all]; return; }
    const keys = Object.fromEntries(pairs.map((pair) => {
      const equals = pair.indexOf('=');
      return [pair.slice(0, equals), decodeURIComponent(pair.slice(equals + 1))];
    }));
    const body = all.subarray(end + 1, end + 1 + Number(length));
    all = all.subarray(need);
    [pieces, have, need] = [[all], all.length, 0];
    take(verb, id, keys, body);
  }
}

const input = new net.Socket({ fd: Number(process.env.GANGER_IN_FD || 3), readable: true, writable: false });
input.on('data', feed);
input.on('close', () => process.exit(0)); // the service is gone
input.on('error', () => process.exit(0));
put('HELLO', 1, Buffer.from(JSON.stringify(
  { lang: 'javascript', codecs: ['json', 'raw'], caps: ['init', 'cancel', 'shm'], max_inflight: 1 })));
