// The internet as the Worker sees it: one local HTTP server that answers for every host name a test gives it, records
// every request, and fails on demand. A real server, because a `Response` cannot express a reset, a hang or half a
// body.

import { createServer, request as send } from 'node:http';
import { once } from 'node:events';

/** Marks the requests of a test, see `ask`. */
const UNRECORDED = 'x-sent-by-the-test';

/** Faults, for `internet.breakNext(...)`. Each takes `(incoming, outgoing)`. */
export const faults = {
  /** Answers this instead. */
  answer: ({ status = 200, headers = {}, body = '' } = {}) => (incoming, outgoing) => {
    outgoing.writeHead(status, typeof body === 'object' ? { 'content-type': 'application/json', ...headers } : headers);
    outgoing.end(typeof body === 'object' && !Buffer.isBuffer(body) ? JSON.stringify(body) : body);
  },

  /** Closes the connection without an answer. */
  reset: () => (incoming) => incoming.socket.destroy(),

  /** Takes the request and never answers. */
  hang: () => () => {},

  /** Sends the status and the first bytes of a body, then nothing. */
  stall: ({ status = 200, headers = {}, body = '{' } = {}) => (incoming, outgoing) => {
    outgoing.writeHead(status, { 'content-length': String(body.length + 100), ...headers });
    outgoing.write(body);
  },

  /** Sends the status and the first bytes of a body, then closes the connection. */
  cut: ({ status = 200, headers = {}, body = '{' } = {}) => (incoming, outgoing) => {
    outgoing.writeHead(status, { 'content-length': String(body.length + 100), ...headers });
    outgoing.write(body, () => incoming.socket.destroy());
  },

  /** Sends the status, and a body that has no end. */
  endless: ({ status = 200, headers = {} } = {}) => (incoming, outgoing) => {
    outgoing.writeHead(status, { 'content-type': 'application/json', ...headers });
    const blanks = Buffer.alloc(64 * 1024, ' ');
    const more = () => {
      while (!outgoing.destroyed && outgoing.write(blanks));
    };
    outgoing.on('drain', more);
    more();
  },

  /** Sends a whole answer, a byte of its body at a time. */
  drip: ({ status = 200, headers = {}, body = '{"id": 1}' } = {}) => (incoming, outgoing) => {
    outgoing.writeHead(status, { 'content-type': 'application/json', 'content-length': String(1000 + body.length), ...headers });
    outgoing.write(body);
    const timer = setInterval(() => outgoing.write(' '), 500);
    outgoing.on('close', () => clearInterval(timer));
  },

  /** Declares the body as compressed, which it is not. */
  wrongEncoding: ({ status = 200, body = '{"id": 1}' } = {}) =>
    faults.answer({ status, headers: { 'content-type': 'application/json', 'content-encoding': 'gzip' }, body }),

  redirect: (location, status = 302) => faults.answer({ status, headers: { location } }),

  tooLarge: (bytes, { status = 200 } = {}) =>
    faults.answer({ status, headers: { 'content-type': 'application/json' }, body: Buffer.alloc(bytes, ' ') }),
};

export class Internet {
  /** Every request in the order of arrival: `{host, method, path, headers, body, status}`. */
  requests = [];
  /** Requests to hosts that nobody answers for. */
  strays = [];

  #hosts = new Map();
  #faults = [];
  #server;

  static async open() {
    const internet = new Internet();
    internet.#server = createServer((incoming, outgoing) => internet.#route(incoming, outgoing));
    // Longer than a test: a connection that closes for being idle may do so just as the runtime uses it again.
    internet.#server.keepAliveTimeout = 120_000;
    internet.#server.listen(0, '127.0.0.1');
    await once(internet.#server, 'listening');
    return internet;
  }

  /** `127.0.0.1:PORT`. */
  get address() {
    return `127.0.0.1:${this.#server.address().port}`;
  }

  /** From now on `answerer(incoming, outgoing, record)` answers for a host name. It may set `record.body`. */
  host(name, answerer) {
    this.#hosts.set(name, answerer);
  }

  /**
   * The next `times` requests that match get the fault instead of their answer.
   * A match is `{host?, method?, path?}` with a string or a regular expression for the path (query included).
   */
  breakNext(match, fault, times = 1) {
    this.#faults.push({ match, fault, times });
  }

  /**
   * A request of the test's own, as anybody would send it to `https://host`; it is answered but not recorded.
   * Resolves to `{status, headers, body}` with the body parsed if it is JSON.
   */
  async ask(host, { method = 'GET', path, headers = {}, body }) {
    const [address, port] = this.address.split(':');
    const request = send({ host: address, port, method, path, headers: { ...headers, host, [UNRECORDED]: '1' } });
    request.end(body);
    const [response] = await once(request, 'response');
    const text = await readBody(response);
    const isJson = /json/.test(response.headers['content-type'] ?? '') && text !== '';
    return { status: response.statusCode, headers: response.headers, body: isJson ? JSON.parse(text) : text };
  }

  /** Removes all faults and recorded requests. */
  reset() {
    this.#faults = [];
    this.requests = [];
  }

  /** The requests that match, as in `breakNext`. */
  requestsTo(match) {
    return this.requests.filter((record) => matches(record, match));
  }

  async close() {
    this.#server.closeAllConnections();
    this.#server.close();
    await once(this.#server, 'close');
  }

  #route(incoming, outgoing) {
    const record = {
      host: incoming.headers.host,
      method: incoming.method,
      path: incoming.url,
      headers: { ...incoming.headers },
      body: '',
      status: undefined,
    };
    if (!(UNRECORDED in incoming.headers)) this.requests.push(record);
    outgoing.on('finish', () => (record.status = outgoing.statusCode));

    const fault = this.#faults.find(({ match, times }) => times > 0 && matches(record, match));
    if (fault) {
      fault.times -= 1;
      fault.fault(incoming, outgoing);
      return;
    }
    const answerer = this.#hosts.get(record.host);
    if (!answerer) {
      this.strays.push(record);
      incoming.socket.destroy();
      return;
    }
    Promise.resolve(answerer(incoming, outgoing, record)).catch((error) => {
      outgoing.writeHead(500, { 'content-type': 'text/plain' });
      outgoing.end(String(error?.stack ?? error));
    });
  }
}

function matches(record, { host, method, path }) {
  return (
    (host === undefined || record.host === host) &&
    (method === undefined || record.method === method) &&
    (path === undefined || (path instanceof RegExp ? path.test(record.path) : record.path === path))
  );
}

/** The whole body of a request. */
export async function readBody(incoming) {
  const chunks = [];
  for await (const chunk of incoming) chunks.push(chunk);
  return Buffer.concat(chunks).toString('utf8');
}
