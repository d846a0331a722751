// The load generator, a separate process: many callers, each with one connection and one request in progress. It writes
// prepared bytes and only looks for the end of an answer, so that it does not slow itself down.

import { connect } from 'node:net';
import { randomUUID } from 'node:crypto';

const END_OF_HEAD = Buffer.from('\r\n\r\n');

function bytes({ method, path, headers, body = '' }) {
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
  const length = method === 'GET' ? '' : `content-length: ${Buffer.byteLength(body)}\r\n`;
  const text = (unique) => `${method} ${path} HTTP/1.1\r\n${lines.join('')}${length}\r\n${body}`.replace('{unique}', unique);
  const isUnique = lines.some((line) => line.includes('{unique}'));
  const fixed = isUnique ? undefined : Buffer.from(text(''));
  return () => fixed ?? Buffer.from(text(randomUUID()));
}

/** `{status, end}` of the answer at the beginning of the buffer once it is there. */
function answer(buffer) {
  const end = buffer.indexOf(END_OF_HEAD);
  if (end < 0) return undefined;
  const head = buffer.toString('latin1', 0, end);
  const status = Number(head.slice(9, 12));
  if (/\r\ntransfer-encoding: chunked/i.test(head)) return buffer.indexOf('0\r\n\r\n', end) < 0 ? undefined : { status };
  const length = Number(/\r\ncontent-length: (\d+)/i.exec(head)?.[1] ?? 0);
  return buffer.length < end + 4 + length ? undefined : { status };
}

/** One caller: sends the next request when the answer to the last one is there, until there is none. */
function caller(port, next, record) {
  return new Promise((resolve, reject) => {
    const socket = connect({ port, host: '127.0.0.1', noDelay: true });
    let received;
    let sentAt;
    const send = () => {
      const request = next();
      if (!request) return void socket.end(resolve);
      received = undefined;
      sentAt = process.hrtime.bigint();
      socket.write(request);
    };
    socket.on('connect', send);
    socket.on('error', reject);
    socket.on('close', () => reject(new Error('the connection was closed')));
    socket.on('data', (chunk) => {
      received = received ? Buffer.concat([received, chunk]) : chunk;
      const complete = answer(received);
      if (!complete) return;
      record(complete.status, Number(process.hrtime.bigint() - sentAt) / 1e6);
      send();
    });
  });
}

/** `count` requests, or as many as there are in `seconds`; `requests` are taken in turn. */
async function run({ port, requests, callers, count = Infinity, seconds = Infinity }) {
  const prepared = requests.map(bytes);
  const [latencies, statuses] = [[], {}];
  let sent = 0;
  const begin = process.hrtime.bigint();
  const elapsed = () => Number(process.hrtime.bigint() - begin) / 1e9;
  const next = () => (sent < count && elapsed() < seconds ? prepared[sent++ % prepared.length]() : undefined);
  const record = (status, latency) => {
    latencies.push(latency);
    statuses[status] = (statuses[status] ?? 0) + 1;
  };
  await Promise.all(Array.from({ length: Math.min(callers, count) }, () => caller(port, next, record)));
  const took = elapsed();
  latencies.sort((a, b) => a - b);
  const at = (share) => latencies[Math.min(latencies.length - 1, Math.floor(latencies.length * share))];
  return { count: latencies.length, seconds: took, statuses, p50: at(0.5), p99: at(0.99) };
}

process.on('message', async ({ id, ...work }) => {
  try {
    process.send({ id, ...(await run(work)) });
  } catch (error) {
    process.send({ id, error: error.message });
  }
});
process.on('disconnect', () => process.exit());
