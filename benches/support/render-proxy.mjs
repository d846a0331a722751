// The proxy's figures as Markdown, out of a run's results.

const table = (head, rows) =>
  [head, head.map((_, index) => (index > 1 ? '---:' : '---')), ...rows].map((row) => `| ${row.join(' | ')} |`).join('\n');
const digits = (value, count = 2) => (value >= 100 ? Math.round(value).toLocaleString('en-US') : value.toFixed(value >= 10 ? 1 : count));

function requests(of) {
  const rows = Object.entries(of).flatMap(([callers, variants]) =>
    Object.entries(variants).map(([name, { perSecond, cpuMs, p50, p99 }]) => [
      callers, name, digits(perSecond), digits(cpuMs, 3), digits(p50), digits(p99),
      name === 'pass-through' ? '' : `**${digits(cpuMs / variants['pass-through'].cpuMs)}**`,
    ]),
  );
  return table(['callers', 'Worker', 'per second', 'CPU ms', 'p50 ms', 'p99 ms', 'CPU, to the pass-through'], rows);
}

function firstByte(of) {
  const rows = Object.entries(of).flatMap(([wait, variants]) =>
    Object.entries(variants).map(([name, { p50, p90 }]) => [
      wait, name, digits(p50), digits(p90), name === 'service' ? `**${digits(p50 / variants['pass-through'].p50)}**` : '',
    ]),
  );
  return table(['upstream\'s first event after, ms', 'Worker', 'p50 ms', 'p90 ms', 'to the pass-through'], rows);
}

function memory(of) {
  const rows = Object.entries(of).flatMap(([name, directions]) =>
    Object.entries(directions).map(([direction, { before, most, cpuMsPerMb }]) => [`16 × 100 MB ${direction}`, name, digits(before), digits(most), digits(most - before), digits(cpuMsPerMb)]),
  );
  return table(['', 'Worker', 'MB before', 'MB at most', 'MB more', 'CPU ms per MB'], rows);
}

/** The three tables. */
export const renderProxy = ({ requests: ofRequests, firstByte: ofFirstByte, memory: ofMemory }) =>
  `${requests(ofRequests)}\n\n${firstByte(ofFirstByte)}\n\n${memory(ofMemory)}\n`;
