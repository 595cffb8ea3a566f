// SPDX-License-Identifier: MIT
// What a task of the Node runner does in tests/integration/test_runners_shipped.c.
'use strict';
const { setTimeout: wait } = require('timers/promises');

let calls = 0;

function* pieces(n) {
  for (let i = 0; i < n; i++) yield { i };
  return 'end';
}

exports.behave = async (what, arg, kwargs) => {
  calls++;
  switch (what) {
    case 'echo': return arg;
    case 'calls': return calls;
    case 'pid': return process.pid;
    case 'big': return 'x'.repeat(arg);
    case 'length': return arg.length;
    case 'bytes': return Buffer.from([255, 0]);
    case 'fail': throw new RangeError(arg);
    case 'print': console.log('to stdout'); console.error('to stderr'); return null;
    case 'log': ganger.log(arg, 'warning'); return null;
    case 'wait':
      ganger.progress(1, 2, 'waits');
      return wait(60000, null, { signal: ganger.signal });
    case 'stubborn':
      ganger.progress(1, 2, 'waits');
      process.on('SIGTERM', () => {});
      return wait(60000);
    case 'exit': return process.exit(arg);
    case 'kill': process.kill(process.pid, 'SIGKILL'); return wait(60000);
    case 'data': return pieces(arg);
    case 'input': return require('fs').readFileSync(ganger.task.inputs[arg]);
    case 'kwargs': return kwargs;
    case 'self': return require('child_process').execFileSync(arg, ['show', 'self', '--json']).toString();
    case 'token': return process.env.GANGER_TOKEN;
    default: throw new Error(what);
  }
};

exports.start = () => { calls = 100; };
