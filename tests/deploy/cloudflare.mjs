// The part of Cloudflare's API that wrangler needs to deploy a Worker, on loopback: KV namespaces, secrets, versions,
// deployments and migrations of Workers, without any Worker running.

import { randomUUID } from 'node:crypto';

import { StandIn } from '../action/runner.mjs';

export const ACCOUNT = 'f00dfeedf00dfeedf00dfeedf00dfeed';

export class Cloudflare {
  /** By name: `{secrets: Map, versions: [{id, migrationTag}], deployments: [id]}`, newest last. */
  workers = new Map();
  /** The API tokens that are taken. */
  apiTokens = new Set(['an-api-token']);
  /** The ids of KV namespaces, by title. */
  namespaces = new Map();
  /** Requests that nothing here answers. */
  unknown = [];
  /** Makes a rollback fail with this message. */
  refusesRollback;

  static async start() {
    const cloudflare = new Cloudflare();
    cloudflare.server = await StandIn.start((request) => cloudflare.#answer(request));
    return cloudflare;
  }

  /** The answers to wrangler. */
  get environment() {
    return {
      CLOUDFLARE_API_BASE_URL: `${this.server.url}/client/v4`,
      CLOUDFLARE_API_TOKEN: 'an-api-token',
      CLOUDFLARE_ACCOUNT_ID: ACCOUNT,
      WRANGLER_SEND_METRICS: 'false',
      // Otherwise it looks for a newer version of itself.
      npm_config_registry: 'http://127.0.0.1:9/',
      CI: 'true',
    };
  }

  /** A Worker that was deployed before. */
  worker(name, { secrets = {}, migrationTag, versions = 1 } = {}) {
    const worker = { secrets: new Map(Object.entries(secrets)), versions: [], deployments: [] };
    this.workers.set(name, worker);
    for (let n = 0; n < versions; n += 1) deploy(worker, migrationTag);
    return worker;
  }

  stop() {
    return this.server.stop();
  }

  #answer({ method, path, headers, body }) {
    const url = new URL(path, 'http://cloudflare');
    if (!this.apiTokens.has(headers.authorization?.replace(/^Bearer /, ''))) return failure(403, 10000, 'Authentication error');
    if (`${method} ${url.pathname}` === `POST /client/v4/accounts/${ACCOUNT}/storage/kv/namespaces`) {
      const { title } = JSON.parse(body);
      this.namespaces.set(title, randomUUID().replaceAll('-', ''));
      return success({ id: this.namespaces.get(title), title, supports_url_encoding: true });
    }
    const [, rest] = url.pathname.split(`/client/v4/accounts/${ACCOUNT}/workers/`);
    const call = `${method} ${rest}`;
    const name = /^(?:scripts|services)\/([^/]+)/.exec(rest ?? '')?.[1];
    const worker = this.workers.get(name);
    const create = () => worker ?? this.worker(name, { versions: 0 });
    if (call === 'GET scripts') return success([...this.workers].map(([id, { versions }]) => ({ id, migration_tag: versions.at(-1)?.migrationTag })));
    if (call === `PUT scripts/${name}`) return this.#upload(create(), body);
    // Without a migration, a version is created first and then deployed.
    if (call === `POST scripts/${name}/versions` && worker) {
      deploy(worker, this.#metadata(worker, body));
      const id = worker.deployments.pop();
      return success({ ...shown(worker.versions.at(-1)), id, startup_time_ms: 5 });
    }
    if (/^PUT scripts\/[^/]+\/domains\/records$/.test(call)) return success([]);
    if (/^POST scripts\/[^/]+\/domains\/changeset/.test(call)) return success({ added: [], updated: [], removed: [], conflicting: [] });
    if (name !== undefined && worker === undefined) return failure(404, rest.startsWith('services') ? 10090 : 10007, 'This Worker does not exist on your account.');
    switch (call) {
      case `GET services/${name}`:
        return success({ id: name, default_environment: { environment: 'production', script: { id: name, last_deployed_from: 'wrangler', migration_tag: worker.versions.at(-1)?.migrationTag } } });
      case `GET services/${name}/environments/production`:
        return success({ environment: 'production', script: { id: name, last_deployed_from: 'wrangler' } });
      case `GET scripts/${name}/secrets`:
        return success([...worker.secrets.keys()].map((secret) => ({ name: secret, type: 'secret_text' })));
      case `GET scripts/${name}/settings`:
        return success({ bindings: [...worker.secrets.keys()].map((secret) => ({ type: 'secret_text', name: secret })) });
      case `PATCH scripts/${name}/settings`: {
        const { bindings } = JSON.parse(/name="settings"[^]*?\r\n\r\n([^]*?)\r\n--/.exec(body)[1]);
        for (const { name: secret, text } of bindings) if (text !== undefined) worker.secrets.set(secret, text);
        return success({ bindings });
      }
      case `GET scripts/${name}/deployments`:
        return success({ deployments: worker.deployments.map((id) => ({ id: randomUUID(), created_on: '2026-11-20T18:00:00Z', author_email: 'mona@acme.test', source: 'wrangler', strategy: 'percentage', annotations: {}, versions: [{ version_id: id, percentage: 100 }] })).reverse() });
      case `POST scripts/${name}/deployments`: {
        const [{ version_id: id }] = JSON.parse(body).versions;
        if (this.refusesRollback && worker.deployments.includes(id)) return failure(400, 10211, this.refusesRollback);
        worker.deployments.push(id);
        return success({ id: randomUUID() });
      }
      case `GET scripts/${name}/subdomain`:
        return success({ enabled: false, previews_enabled: false });
      case `POST scripts/${name}/subdomain`:
      case `PATCH scripts/${name}/script-settings`:
        return success({});
      case `GET scripts/${name}/versions`:
        return success({ items: worker.versions.map(shown).reverse() });
      default: {
        const version = /^GET scripts\/[^/]+\/versions\/([\w-]+)$/.exec(call)?.[1];
        const found = worker?.versions.find(({ id }) => id === version);
        if (found) return success(shown(found));
        this.unknown.push(`${method} ${path}`);
        return failure(404, 7003, `nobody answers ${method} ${path}`);
      }
    }
  }

  #upload(worker, body) {
    const id = deploy(worker, this.#metadata(worker, body));
    return success({ id: 'octo-sts', etag: 'etag', pipeline_hash: 'hash', mutable_pipeline_id: 'id', deployment_id: id, startup_time_ms: 5, available_on_subdomain: false });
  }

  /** Stores wrangler's metadata of the upload, and the resulting migration of the Worker. */
  #metadata(worker, body) {
    worker.metadata = JSON.parse(/name="metadata"[^]*?\r\n\r\n([^]*?)\r\n--/.exec(body)[1]);
    return worker.metadata.migrations?.new_tag ?? worker.versions.at(-1)?.migrationTag;
  }
}

function deploy(worker, migrationTag) {
  const id = randomUUID();
  worker.versions.push({ id, migrationTag });
  worker.deployments.push(id);
  return id;
}

/** https://developers.cloudflare.com/api/resources/workers/subresources/scripts/subresources/versions/ */
const shown = ({ id, migrationTag }, index = 0) => ({
  id,
  number: index + 1,
  metadata: { created_on: '2026-11-20T18:00:00Z', modified_on: '2026-11-20T18:00:00Z', source: 'wrangler', author_id: 'a', author_email: 'mona@acme.test', has_preview: false },
  annotations: {},
  resources: { bindings: [], script: { etag: 'etag', handlers: ['fetch'], last_deployed_from: 'wrangler' }, script_runtime: { usage_model: 'standard', compatibility_date: '2026-04-01', ...(migrationTag ? { migration_tag: migrationTag } : {}) } },
});

const success = (result) => ({ json: { success: true, errors: [], messages: [], result, result_info: { page: 1, per_page: 100, count: 1, total_count: 1, total_pages: 1 } } });
const failure = (status, code, message) => ({ status, json: { success: false, errors: [{ code, message }], messages: [], result: null } });
