// What `wrangler.toml` must have before it is deployed. wrangler itself reads it, so environments mean here what they mean
// there; the lines are found in the text, for whoever has to change one.

import { readFileSync } from 'node:fs';

import { unstable_readConfig as readConfig } from 'wrangler';

/** Cloudflare refuses a longer one: https://developers.cloudflare.com/workers/platform/limits/ */
export const MAX_VARIABLE_BYTES = 5 * 1024;

const EXAMPLE = /(^|\.)example(\.(com|net|org))?$/i;

/** The settings of an environment (of the top level where it is `undefined`) and what is wrong with them. */
export function readSettings(path, environment) {
  const text = readFileSync(path, 'utf8');
  const lines = text.split('\n');
  const problems = [];
  /** `pattern` finds the line, in the environment's own tables if it is there. */
  const say = (pattern, problem) => {
    const line = lineOf(lines, pattern, environment);
    problems.push(`wrangler.toml${line === undefined ? '' : `:${line}`}: ${problem}`);
  };
  if (environment !== undefined && !new RegExp(`^\\[+env\\.${escape(environment)}[\\].]`, 'm').test(text)) {
    return { problems: [`wrangler.toml: there is no environment \`${environment}\`; add \`[env.${environment}]\``] };
  }
  const config = readConfig({ config: path, env: environment }, { hideWarnings: true });
  const domain = config.vars?.DOMAIN;
  if (typeof domain !== 'string' || domain === '') say(/^\[(env\.[^.]+\.)?vars\]/, '`DOMAIN` is missing; write `DOMAIN = "sts.acme.com"` with your domain');
  else if (EXAMPLE.test(domain)) say(/^\s*DOMAIN\s*=/, `\`${domain}\` is a placeholder; write your domain`);
  const namespace = config.kv_namespaces?.find(({ binding }) => binding === 'OCTO_STS_KV');
  if (namespace === undefined) say(/^\[\[(env\.[^.]+\.)?kv_namespaces/, '`OCTO_STS_KV` is not bound; copy the table `[[kv_namespaces]]` for this environment');
  else if (!/^[0-9a-f]{32}$/i.test(namespace.id ?? '') || /^0+$/.test(namespace.id)) say(/^\s*id\s*=/, 'the id is a placeholder; `npx wrangler kv namespace create OCTO_STS_KV` prints yours');
  checkRoutes(config, domain, say);
  for (const [name, value] of Object.entries(config.vars ?? {})) {
    const bytes = Buffer.byteLength(typeof value === 'string' ? value : JSON.stringify(value));
    if (bytes > MAX_VARIABLE_BYTES) say(new RegExp(`^(\\[(env\\.[^.]+\\.)?vars\\.${name}\\b|\\s*${name}\\s*=)`), `\`${name}\` has ${bytes} bytes, and Cloudflare allows ${MAX_VARIABLE_BYTES}; divide it (\`UPSTREAMS\`, \`UPSTREAMS_2\`, …)`);
  }
  return { config, domain, name: config.name, lastMigration: config.migrations?.at(-1)?.tag, problems };
}

function checkRoutes(config, domain, say) {
  const routes = [config.routes ?? [], config.route ?? []].flat().map((route) => (typeof route === 'string' ? route : route.pattern));
  const onWorkersDev = config.workers_dev === true && /\.workers\.dev$/.test(domain ?? '');
  if (onWorkersDev) return;
  if (routes.length === 0) {
    say(/^#?\s*routes?\s*=/, 'there is no route, so the Worker would answer nowhere; take the `#` away and write your domain');
    return;
  }
  const hosts = routes.map((pattern) => pattern.replace(/^https?:\/\//, '').split('/')[0]);
  const placeholder = hosts.find((host) => EXAMPLE.test(host));
  if (placeholder !== undefined) say(/^\s*routes?\s*=/, `\`${placeholder}\` is a placeholder; write your domain`);
  else if (domain && !EXAMPLE.test(domain) && !hosts.some((host) => covers(host, domain))) {
    say(/^\s*routes?\s*=/, `no route leads to \`${domain}\`, which is \`DOMAIN\``);
  }
}

/** Whether a route's host, in which `*` stands for anything, is the domain. */
const covers = (host, domain) => new RegExp(`^${host.split('*').map(escape).join('.*')}$`, 'i').test(domain);

const escape = (text) => text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');

/** The number of the line, from one: in the tables of the environment first, then anywhere. */
function lineOf(lines, pattern, environment) {
  let table = '';
  let elsewhere;
  for (const [index, line] of lines.entries()) {
    if (/^\[/.test(line)) table = line;
    if (!pattern.test(line)) continue;
    const isOfEnvironment = table.replace(/^\[+/, '').startsWith(`env.${environment}`);
    if (environment === undefined ? !/^\[+env\./.test(table) : isOfEnvironment) return index + 1;
    elsewhere ??= index + 1;
  }
  return elsewhere;
}
