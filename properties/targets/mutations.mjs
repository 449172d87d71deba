// Lists the one-token mutations of a bundle, and its functions. Reads one JSON object on stdin, writes one on stdout.
//
//   {"acorn": file, "walk": file, "bundle": file, "parts": {name: [[text, ...], ...]}, "ran": [[start, end], ...]}
//   {"mutations": [{start, end, text, kind, scope, part, inside, code}], "functions": [{scope, part, start, end, ran}],
//    "missing": [[text, ...], ...]}
//
// A mutation replaces the code from `start` to `end` by `text`; only code that has run is mutated. `scope` is the path
// of names that enclose it, `inside` is where the body of the innermost function around it begins. A part of the bundle is told by texts that survive minification: to each list of them
// belongs the smallest definition (a function, a class, a member, a variable) that has them all. `missing` has the
// lists without one. `code` shows the mutation in its surroundings.

import fs from 'node:fs';
import { createRequire } from 'node:module';

const require = createRequire(import.meta.url);
const { acorn: parser, walk: walker, bundle, parts, ran } = JSON.parse(fs.readFileSync(0, 'utf8'));
const { parse } = require(parser);
const { fullAncestor } = require(walker);

const AROUND = 40; // characters of code before and after a mutation
const source = fs.readFileSync(bundle, 'utf8');
const tree = parse(source, { ecmaVersion: 'latest', sourceType: 'script', allowReturnOutsideFunction: true });

// -- what runs ----------------------------------------------------------------------------------------------

const runs = new Uint8Array(source.length);
for (const [start, end] of ran) runs.fill(1, start, end);

// -- definitions --------------------------------------------------------------------------------------------

const FUNCTION = /^(Function|ArrowFunction)/;
const DEFINITION = /^(Function|ArrowFunction|Class|Method|PropertyDefinition|VariableDeclarator)/;

// What a definition is called, or what a function is assigned to.
function nameOf({ type, id, key, left, right }) {
  if (type === 'AssignmentExpression') return FUNCTION.test(right.type) ? (left.name ?? left.property?.name) : null;
  return DEFINITION.test(type) ? (id?.name ?? key?.name) : null;
}

const scopeOf = ancestors => ancestors.map(nameOf).filter(Boolean).join('.');

const definitions = [];
fullAncestor(tree, (node, _, ancestors) => {
  if (DEFINITION.test(node.type)) definitions.push({ node, scope: scopeOf(ancestors) });
});
definitions.sort((one, other) => one.node.end - one.node.start - (other.node.end - other.node.start));

const missing = [];
const places = []; // of the parts: [start, end, name], the smallest first
for (const [name, lists] of Object.entries(parts)) {
  for (const texts of lists) {
    const found = definitions.find(({ node }) => texts.every(text => source.slice(node.start, node.end).includes(text)));
    if (found) places.push([found.node.start, found.node.end, name]);
    else missing.push(texts);
  }
}
places.sort((one, other) => one[1] - one[0] - (other[1] - other[0]));
const partOf = ({ start, end }) => places.find(place => place[0] <= start && end <= place[1])?.[2] ?? null;

const functions = definitions
  .filter(({ node }) => FUNCTION.test(node.type))
  .map(({ node, scope }) => ({ node, scope, start: node.start, end: node.end, part: partOf(node) }))
  .map(({ node, ...about }) => ({ ...about, ran: runs[node.body.start] === 1 }));

// -- mutations ----------------------------------------------------------------------------------------------

const COMPARISONS = {
  '===': '!==', '!==': '===', '==': '!=', '!=': '==', '<': '>=', '>=': '<', '>': '<=', '<=': '>', // prettier-ignore
};
const LOGIC = { '&&': '||', '||': '&&' };
const CONSTANT = /^(!|void)$/; // minifiers write `!0` for true, `!1` for false, `void 0` for undefined
const SIMPLE = /^(Identifier|MemberExpression|CallExpression|ChainExpression|AwaitExpression)$/;

// Is the value of the last node unused?
function unused(ancestors) {
  const [node, parent, ...further] = [...ancestors].reverse();
  switch (parent?.type) {
    case 'ExpressionStatement':
      return true;
    case 'SequenceExpression':
      return parent.expressions.at(-1) !== node || unused([...further].reverse().concat(parent));
    case 'LogicalExpression':
      return parent.right === node && unused([...further].reverse().concat(parent));
    case 'ConditionalExpression':
      return parent.test !== node && unused([...further].reverse().concat(parent));
    case 'AwaitExpression':
    case 'ChainExpression':
      return unused([...further].reverse().concat(parent));
    case 'UnaryExpression':
      return parent.operator === 'void';
    default:
      return false;
  }
}

// The mutations of one node, each as [kind, start, end, text].
function* mutationsOf(node, ancestors) {
  switch (node.type) {
    case 'BinaryExpression':
    case 'LogicalExpression': {
      const other = COMPARISONS[node.operator] ?? LOGIC[node.operator];
      if (!other) return;
      const start = source.indexOf(node.operator, node.left.end);
      yield [node.operator in LOGIC ? 'logic' : 'comparison', start, start + node.operator.length, other];
      return;
    }
    case 'Literal':
      if (typeof node.value === 'number' && !CONSTANT.test(ancestors.at(-2)?.operator)) {
        yield ['number', node.start, node.end, String(node.value + 1)];
      } else if (typeof node.value === 'boolean') {
        yield ['boolean', node.start, node.end, String(!node.value)];
      }
      return;
    case 'UnaryExpression':
      if (isBoolean(node)) yield ['boolean', node.start, node.end, node.argument.value ? '!0' : '!1'];
      else if (node.operator === '!') yield ['negation', node.start, node.start + 1, ' '];
      return;
    case 'IfStatement':
    case 'ConditionalExpression':
      if (SIMPLE.test(node.test.type)) yield ['negation', node.test.start, node.test.start, '!'];
      return;
    case 'CallExpression':
      if (unused(ancestors)) yield ['call', node.start, node.end, 'void 0'];
      return;
    case 'AwaitExpression':
      yield ['await', node.start, node.start + 'await'.length, ' '];
  }
}

const isBoolean = node =>
  node?.type === 'UnaryExpression' && node.operator === '!' && [0, 1].includes(node.argument.value);

const mutations = [];
fullAncestor(tree, (node, _, ancestors) => {
  for (const [kind, start, end, text] of mutationsOf(node, ancestors)) {
    if (!runs[start]) continue;
    const [before, after] = [source.slice(Math.max(start - AROUND, 0), start), source.slice(end, end + AROUND)];
    const code = `${before}«${source.slice(start, end)} → ${text.trim()}»${after}`.replace(/\s+/g, ' ').trim();
    const inside = ancestors.findLast(({ type }) => FUNCTION.test(type))?.body.start ?? 0;
    mutations.push({ start, end, text, kind, scope: scopeOf(ancestors), part: partOf({ start, end }), inside, code });
  }
});
mutations.sort((one, other) => one.start - other.start || one.end - other.end);
process.stdout.write(JSON.stringify({ mutations, functions, missing }));
