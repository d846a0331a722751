// The built Worker in the real runtime (workerd, through miniflare as a library), with every line it logs and every KV
// entry in view, and with nothing but the test's own internet around it.

import { readFileSync } from 'node:fs';
import { createConnection } from 'node:net';
import { fileURLToPath } from 'node:url';

import { Log, LogLevel, Miniflare } from 'miniflare';

import { check } from './description.mjs';

/** The host of the service; the audience of tokens if a policy names none. */
export const DOMAIN = 'sts.example.com';

const ROOT = fileURLToPath(new URL('../../../', import.meta.url));
const WRANGLER = readFileSync(`${ROOT}wrangler.toml`, 'utf8');
const compatibilityDate = /^compatibility_date = "(.+)"$/m.exec(WRANGLER)[1];
const compatibilityFlags = JSON.parse(/^compatibility_flags = (\[.+\])$/m.exec(WRANGLER)[1]);

/** Replaces KV: every call is accepted, and none is ever answered. */
const HANGING_KV = {
  name: 'hanging-kv',
  modules: true,
  script: `const never = () => new Promise(() => {});
    export default () => ({ get: never, put: never, delete: never, list: never });`,
};

/** Replaces a dataset, whose emulation stores nothing: every point is a log line. */
const recordingDataset = (fails) => ({
  name: 'recording-dataset',
  modules: true,
  script: `const record = (point) => console.log(JSON.stringify({ point }));
    const fail = () => { throw new TypeError('the dataset is full'); };
    export default () => ({ writeDataPoint: ${fails ? 'fail' : 'record'} });`,
});

export class Worker {
  /** Everything that the Worker wrote: `{level, message}` in order. */
  logs = [];

  #miniflare;
  #options;

  /**
   * `folder` is where the build lies. `usedTokens` is the class of the record of used tokens: the Worker's own `UsedToken`,
   * or one that the module text `standIn` exports; without it nothing is bound. `proxyBudgets`: likewise, `ProxyBudget`.
   * `metrics` is what is bound as `METRICS`: 'dataset' for the runtime's emulation, 'recorded' for one whose points `points()`
   * has, or 'failing'; with the latter two there is no `newIsolate`.
   * `limits` are rate limiting bindings, as many a minute. With `hangingKv` there is no `kv`, `store` or `newIsolate`.
   */
  static async start({ internet, vars, withoutKv = false, hangingKv = false, limits = {}, folder = 'build', usedTokens, proxyBudgets, standIn = '', metrics }) {
    const worker = new Worker();
    worker.#options = {
      modules: [
        { type: 'ESModule', path: 'main.js', contents: `export * from './index.js'; export { default } from './index.js';${standIn}` },
        { type: 'ESModule', path: 'index.js', contents: readFileSync(`${ROOT}${folder}/index.js`, 'utf8') },
        { type: 'CompiledWasm', path: 'index_bg.wasm', contents: readFileSync(`${ROOT}${folder}/index_bg.wasm`) },
      ],
      compatibilityDate,
      compatibilityFlags,
      kvNamespaces: withoutKv || hangingKv ? [] : ['OCTO_STS_KV'],
      durableObjects: {
        ...(usedTokens ? { USED_TOKENS: { className: usedTokens, useSQLite: true } } : {}),
        ...(proxyBudgets ? { PROXY_BUDGETS: { className: proxyBudgets, useSQLite: true } } : {}),
      },
      bindings: vars,
      analyticsEngineDatasets: metrics === 'dataset' ? { METRICS: { dataset: 'octo_sts' } } : {},
      ratelimits: Object.fromEntries(
        Object.entries(limits).map(([name, limit]) => [name, { simple: { limit, period: 60 } }]),
      ),
      outboundService: { external: { address: internet.address, http: { forwardedProtoHeader: 'x-forwarded-proto' } } },
      cf: false,
      log: new Log(LogLevel.NONE),
      handleStructuredLogs: ({ level, message }) => {
        worker.logs.push({ level, message });
      },
    };
    const { log, handleStructuredLogs, ...service } = worker.#options;
    const wrapped = {
      ...(hangingKv ? { OCTO_STS_KV: HANGING_KV } : {}),
      ...(['recorded', 'failing'].includes(metrics) ? { METRICS: recordingDataset(metrics === 'failing') } : {}),
    };
    const wrappedBindings = Object.fromEntries(Object.entries(wrapped).map(([name, { name: scriptName }]) => [name, { scriptName }]));
    const standIns = Object.values(wrapped);
    const withStandIns = { log, handleStructuredLogs, workers: [{ name: 'service', ...service, wrappedBindings }, ...standIns] };
    worker.#miniflare = new Miniflare(standIns.length > 0 ? withStandIns : worker.#options);
    await worker.#miniflare.ready;
    return worker;
  }

  /** A request to the service; `init` as in `fetch`. Every answer is checked against docs/openapi.yaml. */
  async request(path, init) {
    const answer = await this.#miniflare.dispatchFetch(`https://${DOMAIN}${path}`, { redirect: 'manual', ...init });
    // A test build has additional routes.
    if (!path.startsWith('/vectors')) await check(init?.method ?? 'GET', path, answer);
    return answer;
  }

  /** Where it listens on loopback, until there is a new isolate. */
  async address() {
    return (await this.#miniflare.ready).origin;
  }

  /** Bytes on the wire, for requests that no client library would send. Resolves to `{status, body}`. */
  async raw(text) {
    const { hostname, port } = await this.#miniflare.ready;
    const socket = createConnection(Number(port), hostname);
    socket.write(text);
    let answer = '';
    try {
      for await (const chunk of socket) {
        answer += chunk.toString('latin1');
        if (isComplete(answer)) break;
      }
    } catch (error) {
      // The runtime closes the connection if it does not read a body to its end; the answer came before.
      if (!isComplete(answer)) throw error;
    }
    const [head, body] = splitOnce(answer, '\r\n\r\n');
    const status = Number(/^HTTP\/1\.1 (\d{3})/.exec(head)?.[1]);
    return { status, body: body && JSON.parse(isChunked(head) ? unchunk(body) : body) };
  }

  /** A new isolate, as after a deployment or on another machine: memory is empty, KV is not. */
  async newIsolate(vars = {}) {
    this.#options = { ...this.#options, bindings: { ...this.#options.bindings, ...vars } };
    await this.#miniflare.setOptions(this.#options);
  }

  /** All of KV, by key. */
  async store() {
    if (this.#options.kvNamespaces.length === 0) return new Map();
    const namespace = await this.#miniflare.getKVNamespace('OCTO_STS_KV');
    const { keys } = await namespace.list();
    return new Map(await Promise.all(keys.map(async ({ name }) => [name, await namespace.get(name)])));
  }

  /** KV itself, to put things into it. */
  kv() {
    return this.#miniflare.getKVNamespace('OCTO_STS_KV');
  }

  /** What an object of the record of used tokens answers, by the object's name. */
  async askUsedToken(name, ask) {
    const namespace = await this.#miniflare.getDurableObjectNamespace('USED_TOKENS');
    return namespace.get(namespace.idFromName(name)).fetch(`https://used-token.invalid/${ask}`);
  }

  /** The audit events so far, parsed. */
  events() {
    return this.lines().filter(({ event }) => event !== undefined);
  }

  /** What was written to a dataset that is recorded. */
  points() {
    return this.lines().flatMap(({ point }) => (point === undefined ? [] : [point]));
  }

  /** The log, parsed; every line must be one JSON object. */
  lines() {
    return this.logs.map(({ message }) => JSON.parse(message));
  }

  stop() {
    return this.#miniflare.dispose();
  }
}

function isComplete(answer) {
  const [head, body] = splitOnce(answer, '\r\n\r\n');
  if (body === undefined) return false;
  if (isChunked(head)) return body.endsWith('0\r\n\r\n');
  return body.length >= Number(/^content-length: (\d+)$/im.exec(head)?.[1] ?? 0);
}

const isChunked = (head) => /^transfer-encoding: chunked$/im.test(head);

const unchunk = (body) => body.replaceAll(/(?:^|\r\n)[0-9a-f]+\r\n/gi, '');

function splitOnce(text, separator) {
  const at = text.indexOf(separator);
  return at === -1 ? [text] : [text.slice(0, at), text.slice(at + separator.length)];
}
