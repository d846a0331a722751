// The callers of streams, a process of their own: when the first byte of a stream arrives, and large bodies in either
// direction, many at once.

import { once } from 'node:events';
import { request as send } from 'node:http';
import { connect } from 'node:net';

const END = Buffer.from('0\r\n\r\n');
const CHUNK = Buffer.alloc(256_000, 'y');

/** One connection, over which one stream after the other is read. */
class Caller {
  #socket;
  #chunks;
  #text;

  constructor({ port, path, headers }) {
    this.#socket = connect({ port, host: '127.0.0.1', noDelay: true });
    this.#chunks = this.#socket[Symbol.asyncIterator]();
    const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
    this.#text = Buffer.from(`GET ${path} HTTP/1.1\r\n${lines.join('')}\r\n`);
  }

  /** Milliseconds from writing the request to the first byte of the body; resolves at the end of the stream. */
  async first() {
    let received = Buffer.alloc(0);
    let first;
    const begin = process.hrtime.bigint();
    this.#socket.write(this.#text);
    // Not by `once`: it would lose what arrives before it is called again.
    while (!received.subarray(-END.length).equals(END)) {
      const { value: chunk, done } = await this.#chunks.next();
      if (done) throw new Error('the connection was closed');
      received = Buffer.concat([received, chunk]);
      const head = received.indexOf('\r\n\r\n');
      if (head < 0) continue;
      if (received.toString('latin1', 9, 12) !== '200') throw new Error(received.toString('latin1').slice(0, 500));
      if (received.length > head + 4) first ??= Number(process.hrtime.bigint() - begin) / 1e6;
    }
    return first;
  }

  end() {
    this.#socket.destroy();
  }
}

/** Every target in turn, `rounds` times; resolves to a list of the times of each. */
async function firstBytes({ targets, rounds }) {
  const callers = targets.map((target) => new Caller(target));
  const times = targets.map(() => []);
  for (let round = 0; round < rounds; round++) {
    for (const [index, caller] of callers.entries()) times[index].push(await caller.first());
  }
  for (const caller of callers) caller.end();
  return { times };
}

/** A connection of its own: one that was idle may be closed by the other end just when a body begins. */
const agent = false;

/** One large body down. */
async function down({ port, path, headers, bytes }) {
  const request = send({ host: '127.0.0.1', port, path, headers, agent });
  request.end();
  const [response] = await once(request, 'response');
  let total = 0;
  response.on('data', (chunk) => (total += chunk.length));
  await once(response, 'end');
  if (response.statusCode !== 200 || total !== bytes) throw new Error(`${response.statusCode}, ${total} bytes`);
}

/** One large body up, to an upstream that answers how much it got. */
async function up({ port, path, headers, bytes }) {
  const request = send({ host: '127.0.0.1', port, path, method: 'POST', agent, headers: { ...headers, 'content-length': bytes } });
  const answered = once(request, 'response');
  for (let left = bytes; left > 0; ) {
    const part = left < CHUNK.length ? CHUNK.subarray(0, left) : CHUNK;
    left -= part.length;
    if (!request.write(part)) await once(request, 'drain');
  }
  request.end();
  const [response] = await answered;
  let text = '';
  for await (const chunk of response) text += chunk;
  if (response.statusCode !== 200 || text !== String(bytes)) throw new Error(`${response.statusCode}, ${text.slice(0, 200)}`);
}

async function transfers({ direction, each }) {
  const begin = process.hrtime.bigint();
  await Promise.all(each.map((one) => (direction === 'down' ? down(one) : up(one))));
  return { seconds: Number(process.hrtime.bigint() - begin) / 1e9 };
}

process.on('message', async ({ id, what, ...work }) => {
  try {
    process.send({ id, ...(await { firstBytes, transfers }[what](work)) });
  } catch (error) {
    process.send({ id, error: error.message });
  }
});
process.on('disconnect', () => process.exit());
