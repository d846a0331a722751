// Figures as Markdown and curves as SVG, out of a run's results.

import { readFileSync, writeFileSync } from 'node:fs';

import * as vega from 'vega';
import { compile } from 'vega-lite';

import { renderProxy } from './render-proxy.mjs';

const CURVES = JSON.parse(readFileSync(new URL('../core/curves.json', import.meta.url), 'utf8'));

const table = (head, rows) =>
  [head, head.map((_, index) => (index ? '---:' : '---')), ...rows].map((row) => `| ${row.join(' | ')} |`).join('\n');
const digits = (value, count = 2) => (value >= 100 ? Math.round(value).toLocaleString('en-US') : value.toFixed(value >= 10 ? 1 : count));

function warm({ warm: of }) {
  const rows = Object.entries(of).flatMap(([callers, variants]) =>
    Object.entries(variants).map(([name, { perSecond, cpuMs, p50, p99, requests }]) => [
      callers, name, digits(perSecond), digits(cpuMs, 3), digits(p50), digits(p99), digits(requests),
      name === 'service' ? `**${digits(cpuMs / variants.floor.cpuMs)}**` : '',
    ]),
  );
  return `### Warm exchanges\n\n${table(['callers', 'Worker', 'per second', 'CPU ms', 'p50 ms', 'p99 ms', 'requests sent', 'CPU, service to floor'], rows)}`;
}

function refusals({ refusals: of }) {
  const rows = Object.entries(of).map(([name, { perSecond, cpuMs, p50, p99 }]) => [name, digits(perSecond), digits(cpuMs, 3), digits(p50), digits(p99), digits(cpuMs / of.grant.cpuMs)]);
  return `### Refusals, sixteen callers\n\n${table(['step', 'per second', 'CPU ms', 'p50 ms', 'p99 ms', 'CPU, to a grant'], rows)}`;
}

function young({ young: of }) {
  const steps = ['first', 'second', 'next'];
  const cells = (main, all) => `${digits(main)} (${digits(all)})`;
  const rows = Object.entries(of).map(([name, figures]) => [name, ...steps.map((step) => cells(figures[`${step}Main`], figures[`${step}All`])), digits(figures.firstMs), digits(figures.nextMs), digits(figures.firstRequests)]);
  const ratio = (name) => [`**${name}, to the floor**`, ...steps.map((step) => `**${cells(of[name][`${step}Main`] / of.floor[`${step}Main`], of[name][`${step}All`] / of.floor[`${step}All`])}**`), '', '', ''];
  const ratios = Object.keys(of).filter((name) => name.startsWith('service')).map(ratio);
  return `### A young isolate\n\nCPU in ms of the main thread, in brackets of all threads.\n\n${table(['Worker', 'exchange 1', 'exchange 2', 'exchanges 3 to 12, each', 'ms of exchange 1', 'ms of exchanges 3 to 12', 'requests of exchange 1'], [...rows, ...ratios])}`;
}

function startUp({ startUp: of, sizes }) {
  const rows = Object.entries(of).map(([name, { ms, cpuMs, memory }]) => [
    name, sizes[name] ? digits(sizes[name].gzip / 1024) : '', digits(ms), digits(cpuMs), digits(ms - of.none.ms), digits(cpuMs - of.none.cpuMs), digits(memory),
  ]);
  const ratios = `The service to the empty Worker: ${digits(of.service.ms / of.empty.ms)} in time and ${digits(of.service.cpuMs / of.empty.cpuMs)} in CPU for the whole process, ${digits((of.service.ms - of.none.ms) / (of.empty.ms - of.none.ms))} and ${digits((of.service.cpuMs - of.none.cpuMs) / (of.empty.cpuMs - of.none.cpuMs))} for what is above the runtime alone (\`none\`).`;
  return `### Start-up\n\n${table(['Worker', 'wasm KB gzip', 'ms', 'CPU ms', 'ms above `none`', 'CPU ms above `none`', 'memory MB'], rows)}\n\n${ratios}`;
}

function push({ push: of }) {
  const rows = Object.entries(of).map(([callers, { perSecond, cpuMs, p50, p99, requests }]) => [callers, digits(perSecond), digits(cpuMs), digits(p50), digits(p99), digits(requests)]);
  return `### Pushes of one policy\n\n${table(['callers', 'per second', 'CPU ms', 'p50 ms', 'p99 ms', 'requests sent'], rows)}`;
}

function growth({ growthOfPushes, growthOfScopes, core }) {
  const parts = ['### Growth'];
  if (growthOfPushes) parts.push(table(['policies in a push', 'CPU ms', 'CPU ms per policy', 'p50 ms', 'requests sent'], growthOfPushes.map(({ x, cpuMs, p50, requests }) => [x, digits(cpuMs), digits(cpuMs / x), digits(p50), digits(requests)])));
  if (growthOfScopes) parts.push(table(['scopes that one isolate met', 'CPU ms, a new one', 'CPU ms, a known one', 'memory MB'], growthOfScopes.map(({ x, newCpuMs, knownCpuMs, memory }) => [x.toLocaleString('en-US'), digits(newCpuMs), digits(knownCpuMs, 3), digits(memory)])));
  for (const [group, points] of Object.entries(core ?? {})) parts.push(table([CURVES[group].axis, ...points.map(({ x }) => x.toLocaleString('en-US'))], [[`${CURVES[group].title}, µs`, ...points.map(({ ns }) => digits(ns / 1000))]]));
  return parts.join('\n\n');
}

/** One curve. `series` is `[{x, y, of}]`. */
async function curve(title, axis, unit, series, folder, name) {
  const spec = compile({
    title,
    width: 420,
    height: 200,
    background: 'white',
    data: { values: series },
    mark: { type: 'line', point: true },
    encoding: {
      x: { field: 'x', type: 'quantitative', title: axis },
      y: { field: 'y', type: 'quantitative', title: unit, scale: { domainMin: 0 } },
      color: { field: 'of', type: 'nominal', title: null, legend: new Set(series.map(({ of }) => of)).size > 1 ? { orient: 'top' } : null },
    },
  }).spec;
  writeFileSync(`${folder}/${name}.svg`, `${await new vega.View(vega.parse(spec), { renderer: 'none' }).toSVG()}\n`);
}

/** Writes figures.md and the SVGs; resolves to the Markdown. */
export async function render(results, folder) {
  const parts = [];
  if (results.young) parts.push(young(results));
  if (results.warm) parts.push(warm(results));
  if (results.refusals) parts.push(refusals(results));
  if (results.startUp) parts.push(startUp(results));
  if (results.push) parts.push(push(results));
  if (results.growthOfPushes || results.growthOfScopes || results.core) parts.push(growth(results));
  const { machine } = results;
  const about = `${results.date}, ${results.commit}: ${machine.cores} × ${machine.cpu}, ${machine.memoryGb} GB, ${machine.kernel}, Node.js ${machine.node}, ${results.workerd}, ${results.rustc}.`;
  // A part that was not run keeps its figures, and says of when they are.
  const newest = `${results.date}, ${results.commit}`;
  const older = Object.entries(results.runs).filter(([, run]) => run !== newest).map(([name, run]) => `\`${name}\` is of ${run}`);
  if (older.length > 0) parts.unshift(`Of earlier runs: ${older.join('; ')}.`);
  const markdown = `${about}\n\n${parts.join('\n\n')}\n`;
  writeFileSync(`${folder}/figures.md`, markdown);
  const ofProxy = results.proxy && `${about}\n\n${renderProxy(results.proxy)}`;
  if (ofProxy) writeFileSync(`${folder}/proxy.md`, ofProxy);

  if (results.growthOfPushes) {
    await curve('A push', 'policies in the push', 'CPU ms', results.growthOfPushes.map(({ x, cpuMs }) => ({ x, y: cpuMs, of: 'push' })), folder, 'pushes');
  }
  if (results.growthOfScopes) {
    const series = results.growthOfScopes.flatMap(({ x, newCpuMs, knownCpuMs }) => [{ x, y: newCpuMs, of: 'a new scope' }, { x, y: knownCpuMs, of: 'a known scope' }]);
    await curve('An exchange', 'scopes that one isolate met', 'CPU ms', series, folder, 'scopes');
  }
  for (const [group, points] of Object.entries(results.core ?? {})) {
    const { title, axis } = CURVES[group];
    await curve(title, axis, 'µs', points.map(({ x, ns }) => ({ x, y: ns / 1000, of: group })), folder, group);
  }
  return ofProxy ? `${markdown}\n## The proxy\n\n${ofProxy}` : markdown;
}
