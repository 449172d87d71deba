// The realm of one instance: built-in objects and globals of its own, in which its bundle is evaluated.
//
// An SDK keeps state in module singletons, and may change built-in objects, so each instance has a realm of its own
// (a context of node:vm). In it is the language, and what globals.js makes: there is no `process`, no `require` but
// ours, no clock, timer, network or file. That is so that nothing real is reached by accident. It is no sandbox for
// code that means harm: whoever has an object of Node's realm in hand may find a way out.

import fs from 'node:fs';
import vm from 'node:vm';

import { DriverError, oneLine } from './errors.mjs';

// What React Native and browsers have, and can be used without a clock or a network.
const CLASSES = [
  ...['URL', 'URLSearchParams', 'Headers', 'Request', 'Response', 'FormData', 'Blob'],
  ...['AbortController', 'AbortSignal', 'DOMException', 'Event', 'EventTarget', 'CustomEvent'],
  ...['TextEncoder', 'TextDecoder', 'ReadableStream', 'WritableStream', 'TransformStream'],
];
const FUNCTIONS = ['atob', 'btoa', 'queueMicrotask', 'structuredClone'];

const fromNode = names => Object.fromEntries(names.flatMap(name => (globalThis[name] ? [[name, globalThis[name]]] : [])));
const NODES = {
  classes: fromNode(CLASSES),
  functions: fromNode(FUNCTIONS),
  log: process.env.SESSIONPROOF_DRIVER_DEBUG && console.error, // stdout is the protocol's
};

const globals = new URL('./globals.js', import.meta.url);
const GLOBALS = new vm.Script(fs.readFileSync(globals, 'utf8'), { filename: globals.pathname });

// What a program has before the source of its module.
export const PREFIX = '(function(module,exports,require){';

// A CommonJS module as a program. Compiled once, evaluated in the realm of each instance.
export function compile(source, filename) {
  try {
    return new vm.Script(`${PREFIX}${source}\n})`, { filename });
  } catch (error) {
    throw thrown(error);
  }
}

const thrown = error => new DriverError(`the bundle throws while loading: ${error?.name ?? 'Error'}: ${oneLine(error)}`);

// A realm whose clock, timers and network are `host`'s, with further globals.
export function realmOf(host, further) {
  const context = vm.createContext(vm.constants?.DONT_CONTEXTIFY ?? {}); // without it, a global takes longer to find
  const made = GLOBALS.runInContext(context)({ ...NODES, ...host });
  made.define(further);

  // Evaluates a program as `module`, whose exports it fills.
  const run = (program, module, require) =>
    Reflect.apply(program.runInContext(context), module.exports, [module, module.exports, require]);

  return {
    ...made, // timers, global, define, module
    run,
    // What a program exports that has nothing around it.
    exports(program) {
      const alone = made.module();
      try {
        run(program, alone, made.missing);
      } catch (error) {
        throw thrown(error);
      }
      return alone.exports;
    },
  };
}
