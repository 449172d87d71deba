// Which ranges of a bundle run in traces: V8's precise coverage, without what runs while the SDK loads.

import { Session } from 'node:inspector';
import { pathToFileURL } from 'node:url';

import { PREFIX } from './realm.mjs';

// Counts from now on for the program that is compiled from `filename`, whose source has `length` characters.
export function coverageOf(filename, length) {
  const url = String(pathToFileURL(filename)); // by which the inspector knows it
  const session = new Session();
  session.connect();
  const post = (method, params) => {
    let result;
    session.post(method, params, (error, value) => {
      if (error) throw new Error(`the inspector refuses ${method}: ${error.message}`);
      result = value; // a session in the same thread answers before `post` returns
    });
    return result;
  };
  post('Profiler.enable');
  post('Profiler.startPreciseCoverage', { callCount: true, detailed: true });
  const ran = new Uint8Array(length);

  // Functions come before those within them, and so do ranges. Of a function that has not been called since the last
  // look there may be nothing: then nothing is known of what encloses it either, and it has not run.
  const look = () => {
    const { result } = post('Profiler.takePreciseCoverage'); // and the counters begin anew
    const now = new Uint8Array(length);
    for (const { functions } of result.filter(script => script.url === url)) {
      for (const { ranges } of functions) {
        for (const { startOffset, endOffset, count } of ranges) {
          now.fill(count > 0 ? 1 : 0, Math.max(startOffset - PREFIX.length, 0), Math.max(endOffset - PREFIX.length, 0));
        }
      }
    }
    return now;
  };

  return {
    // Forgets what has run since the last look: an SDK was loaded.
    skip: () => void look(),
    keep: () => look().forEach((runs, place) => runs && (ran[place] = 1)),
    // The ranges kept so far, each from its first character to that after its last. They are forgotten.
    take() {
      const found = [];
      for (let start = ran.indexOf(1); start >= 0; ) {
        const end = ran.indexOf(0, start);
        found.push([start, end < 0 ? length : end]);
        start = end < 0 ? -1 : ran.indexOf(1, end);
      }
      ran.fill(0);
      return found;
    },
  };
}
