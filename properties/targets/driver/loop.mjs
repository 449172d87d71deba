// The Node process of a target: reads commands, drives one instance of an SDK after another, replies.
//
// It knows no SDK, and nothing of what goes on inside an instance (instance.mjs).
//
// The protocol: one JSON object a line. Each command on stdin gets one line on stdout, {"out": [...]} with
// everything the SDK did until it could do no more, in order, or {"error": "one line"}; only `end` gets none.
//
//   {"do":"load","glue":"./x.mjs","bundle":path,"epoch":ms,"runtime":name,
//    "boot":[{"request":"GET /x","status":200,"headers":{},"body":text}],
//    "packages":{name:folder},"credential":text|null,          what else it consists of; what its device holds
//    "dom":folder|null,                                        a page is made with the jsdom of that folder
//    "coverage":bool}                                          note what of the bundle runs, for `coverage`
//   {"do":"begin"}                                             a fresh instance, loaded at 0 ms
//   {"do":"restart","at":ms,"call":id}                         its process ends; another on the same device loads
//   {"do":"fire","at":ms,"timer":id}                           the callback of a timer runs
//   {"do":"call","at":ms,"call":id,"operation":name,"arguments":{...}}            the app calls the SDK
//   {"do":"lock","at":ms,"locked":bool}                        the device keeps its credential back, or no longer
//   {"do":"connect","at":ms,"online":bool}                     the device has the network back, or has lost it
//   {"do":"turn","at":ms,"state":name}                         the user turns to the page's tab, or away
//   {"do":"hear","at":ms,"name":channel,"data":{...}}          another tab posts a message
//   {"do":"hold","at":ms,"held":bool}                          another tab takes the page's locks, or gives them back
//   {"do":"disconnect","at":ms}                                the channels of the page are closed
//   {"do":"answer","at":ms,"request":id,"status":200,"headers":{},"body":text}    an answer, or ...
//   {"do":"answer","at":ms,"request":id,"lost":true}                              ... never will
//   {"do":"coverage"}                                         ["ran", start, end] of what has run in traces since the last
//   {"do":"batch","commands":[...]}                            several of these; {"out": [[...], ...]}
//   {"do":"end"}                                              boots the next instance; nobody waits for it

import fs from 'node:fs';
import { createRequire } from 'node:module';
import net from 'node:net';
import v8 from 'node:v8';
import vm from 'node:vm';
import { Worker } from 'node:worker_threads';

import { DriverError, driverError, oneLine } from './errors.mjs';
import { Instance } from './instance.mjs';
import { library } from './modules.mjs';
import { compile } from './realm.mjs';

// Optimized code seldom lives long enough here to pay: the instance it was made for is gone. Wait longer.
if (parseInt(process.versions.node) < 22) v8.setFlagsFromString('--interrupt-budget=2000000'); // later ones have no such flag

// A full collection, for us alone: no realm made later has a `gc`.
v8.setFlagsFromString('--expose-gc');
const gc = vm.runInNewContext('gc');
v8.setFlagsFromString('--no-expose-gc');

// No code in this process has a network, whatever it gets hold of.
net.Socket.prototype.connect = () => {
  throw new Error('a target has no network');
};

// The id of the process that starts this one, which is over when that is, and how much this one may hold.
const [parent, megabytes] = process.argv.slice(2).map(Number);
if (parent) {
  const workerData = { parent, bytes: megabytes * 2 ** 20 };
  const resourceLimits = { maxYoungGenerationSizeMb: 2, maxOldGenerationSizeMb: 16 };
  new Worker(new URL('./watchdog.mjs', import.meta.url), { workerData, resourceLimits }).unref();
}

const LINE_BREAK = 10;
const INSTANCES_PER_COLLECTION = 15;

// What instances are made of: {program, library, glue, epoch, runtime, boot, credential, jsdom}.
let recipe = null;
let current = null; // the instance under way
let next = null; // an instance that has booted ahead of its `begin`, or the error it met
let ended = 0;
let coverage = null; // of the bundle (coverage.mjs), if it is asked for

function read(path) {
  try {
    return fs.readFileSync(path, 'utf8');
  } catch (error) {
    const why = error.code === 'ENOENT' ? 'is missing' : `cannot be read (${error.code})`;
    throw new DriverError(`the bundle ${why}`);
  }
}

// Boots an instance; it is the current one meanwhile, so that what it rejects unhandled is told to it.
async function boot(boots = instance => instance.boot(recipe)) {
  const instance = new Instance();
  const before = current;
  current = instance;
  try {
    await boots(instance);
    return instance;
  } catch (error) {
    return driverError(error);
  } finally {
    current = before;
  }
}

// Dead instances survive the collections of the young generation, which copy them in vain; a full one costs less
// than two of those.
function collect() {
  if (++ended % INSTANCES_PER_COLLECTION === 0) gc();
}

const commands = {
  async load({ glue, bundle, packages, dom, coverage: covered, ...settings }) {
    recipe = null;
    if (covered) coverage = (await import('./coverage.mjs')).coverageOf(bundle, read(bundle).length);
    const jsdom = dom && createRequire(`${dom}/`)('jsdom');
    const module = file => compile(file.endsWith('.json') ? `module.exports = ${read(file)}` : read(file), file);
    const program = compile(read(bundle), bundle);
    recipe = { ...settings, jsdom, program, library: library(packages, module), glue: await import(glue) };
    next = await boot();
    if (!(next instanceof Instance)) throw next;
    return [];
  },
  async begin() {
    if (!recipe) throw new DriverError('nothing is loaded');
    current?.end();
    current = null;
    const booted = next ?? (await boot());
    next = null;
    if (!(booted instanceof Instance)) throw booted;
    coverage?.skip();
    current = booted;
    return current.take();
  },
  async restart({ at, call }) {
    if (!current) throw new DriverError('no trace has begun');
    const before = current;
    coverage?.keep();
    current = new Instance();
    current.evaluate(recipe, before, at);
    coverage?.skip();
    before.end();
    collect();
    await current.feed({ at, call, operation: 'load', arguments: {} });
    return current.take();
  },
  async feed(stimulus) {
    if (!current) throw new DriverError('no trace has begun');
    await current.feed(stimulus);
    return current.take();
  },
  async coverage() {
    if (!coverage) throw new DriverError('no coverage was asked for');
    return coverage.take().map(range => ['ran', ...range]);
  },
  async batch({ commands: several }) {
    const outs = [];
    for (const one of several) outs.push(await commands[one.do](one));
    return outs;
  },
  // Booting costs more than all else in a trace; here it overlaps with whatever the other side does.
  async end() {
    coverage?.keep();
    current?.end();
    current = null;
    next ??= recipe && (await boot());
    collect();
    return null;
  },
};
const STIMULI = ['fire', 'call', 'answer', 'lock', 'connect', 'turn', 'hear', 'hold', 'disconnect'];
for (const stimulus of STIMULI) commands[stimulus] = commands.feed;

async function obey(line) {
  try {
    const command = JSON.parse(line);
    return await commands[command.do](command).then(out => out && { out });
  } catch (error) {
    return { error: driverError(error).message };
  }
}

// -- lines ------------------------------------------------------------------------------------------------

const chunk = Buffer.alloc(1 << 16);
let rest = Buffer.alloc(0);

const nap = () => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1);

// A blocking read costs a fraction of what a stream of events does. Null at the end of input.
function readLine() {
  for (;;) {
    const end = rest.indexOf(LINE_BREAK);
    if (end >= 0) {
      const line = rest.toString('utf8', 0, end);
      rest = rest.subarray(end + 1);
      return line;
    }
    let size;
    try {
      size = fs.readSync(0, chunk);
    } catch (error) {
      if (error.code === 'EOF') return null;
      if (error.code !== 'EAGAIN') throw error;
      nap();
      continue;
    }
    if (size === 0) return null;
    rest = Buffer.concat([rest, chunk.subarray(0, size)]);
  }
}

function writeLine(value) {
  let bytes = Buffer.from(`${JSON.stringify(value)}\n`);
  while (bytes.length) {
    try {
      bytes = bytes.subarray(fs.writeSync(1, bytes));
    } catch (error) {
      if (error.code === 'EPIPE') process.exit(0);
      if (error.code !== 'EAGAIN') throw error;
      nap();
    }
  }
}

// What an SDK throws where nobody catches it is an output, and never the end of this process.
const record = error => current?.emit('threw', oneLine(error));
process.on('uncaughtException', record);
process.on('unhandledRejection', record);
process.on('SIGINT', () => {}); // Ctrl-C is for whoever started us; the end of our input is what ends us

for (let line; (line = readLine()) !== null; ) {
  const reply = await obey(line);
  if (reply) writeLine(reply);
}
process.exit(0);
