// A thread beside the driver, which ends the process where the driver itself cannot: it may never come back from an
// SDK that loops, and then it sees neither the end of its input nor how much it holds.

import fs from 'node:fs';
import { workerData } from 'node:worker_threads';

const LOOK_EVERY = 500; // ms

const { parent, bytes } = workerData; // who started this process, and how much it may hold

setInterval(() => {
  const outgrown = process.memoryUsage.rss() > bytes;
  if (outgrown) fs.writeSync(2, `it held more than ${bytes >> 20} MB of memory\n`);
  if (outgrown || process.ppid !== parent) process.kill(process.pid, 'SIGKILL');
}, LOOK_EVERY);
