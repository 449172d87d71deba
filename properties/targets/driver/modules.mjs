// Packages of CommonJS modules, evaluated in an instance: what a bundler would have made one file of.
//
// It knows no package. A module sees the instance's surroundings as a bundle does; what it requires is a stub, a
// file of its own package, or a package that is at hand, and nothing else: a target has no node_modules.

import fs from 'node:fs';
import path from 'node:path';

import { DriverError } from './errors.mjs';

// In the order in which Metro, React Native's bundler, looks for a file on an iPhone.
const ENDINGS = ['', '.ios.js', '.native.js', '.js', '/index.ios.js', '/index.native.js', '/index.js'];

const isFile = file => fs.existsSync(file) && fs.statSync(file).isFile();
const withEnding = file => ENDINGS.map(ending => file + ending).find(isFile);

// The file behind `./error` of a package, as its package.json exports it to those who `require`.
function exported(folder, subpath) {
  const { exports } = JSON.parse(fs.readFileSync(path.join(folder, 'package.json'), 'utf8'));
  for (const [pattern, target] of Object.entries(exports ?? {})) {
    const [before, after] = pattern.split('*');
    const fits = after === undefined ? subpath === before : subpath.startsWith(before) && subpath.endsWith(after);
    const file = target?.require?.default ?? target?.require ?? target?.default;
    if (!fits || typeof file !== 'string') continue;
    const middle = subpath.slice(before.length, subpath.length - (after ?? '').length);
    const found = path.join(folder, file.replace('*', middle));
    if (isFile(found)) return found;
  }
  return null;
}

// Looks for modules in `packages`, {name: folder}. `read` gives a program for a file, which is remembered here, for
// every instance.
export function library(packages, read) {
  const files = new Map(); // by who requires what
  const contents = new Map();

  const find = (request, from) => {
    if (request.startsWith('.')) return withEnding(path.resolve(path.dirname(from), request));
    const name = request.split('/').slice(0, request.startsWith('@') ? 2 : 1).join('/');
    if (!Object.hasOwn(packages, name)) return null;
    const subpath = request.slice(name.length); // the glue asks for files that a package does not export
    return exported(packages[name], `.${subpath}`) ?? withEnding(packages[name] + subpath);
  };

  return {
    find(request, from) {
      const key = `${request}\n${from}`;
      if (!files.has(key)) files.set(key, find(request, from));
      return files.get(key);
    },
    read(file) {
      if (!contents.has(file)) contents.set(file, read(file));
      return contents.get(file);
    },
  };
}

// A `require` for one instance. `stubs` stand in for packages; `realm` is the instance's.
export function requireIn({ find, read }, stubs, realm) {
  const modules = new Map();
  const from = file => request => {
    if (Object.hasOwn(stubs, request)) return stubs[request];
    const found = find(request, file);
    const who = file ? path.basename(file) : 'the glue';
    if (!found) throw new DriverError(`${who} requires '${request}', which is neither there nor stubbed`);
    if (!modules.has(found)) {
      const module = realm.module();
      modules.set(found, module); // before it runs: modules may require each other
      realm.run(read(found), module, from(found));
    }
    return modules.get(found).exports;
  };
  return from('');
}
