// `make deploy [ENV=name]`: checks before it deploys, checks from outside afterwards, and rolls back if that fails.
//
// STS_SMOKE_URL replaces https://DOMAIN in the smoke test, and STS_SMOKE_SECONDS sets how long it tries.

import { execFileSync, spawnSync } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

import { readSettings } from './deploy/settings.mjs';
import { smoke } from './deploy/smoke.mjs';

const REQUIRED_SECRETS = ['GITHUB_APP_ID', 'GITHUB_APP_PRIVATE_KEY'];
const WRANGLER = fileURLToPath(new URL('../node_modules/wrangler/bin/wrangler.js', import.meta.url));
/** A new certificate for a custom domain takes a while. */
const SMOKE_SECONDS = Number(process.env.STS_SMOKE_SECONDS ?? 120);
const SMOKE_PAUSE_MS = Math.min(5000, (SMOKE_SECONDS * 1000) / 10);

const environment = process.env.ENV || undefined;
const environmentArguments = environment === undefined ? [] : ['--env', environment];

const say = (text) => console.log(`[deploy] ${text}`);

/** wrangler without anybody at the keyboard: `{status, out, err}`. */
function wrangler(...args) {
  const options = { encoding: 'utf8', maxBuffer: 64 * 1024 * 1024, env: { ...process.env, WRANGLER_SEND_METRICS: 'false' } };
  const { status, stdout, stderr } = spawnSync(process.execPath, [WRANGLER, ...args, ...environmentArguments], { ...options, stdio: ['ignore', 'pipe', 'pipe'] });
  return { status, out: stdout, err: stderr };
}

/** The text after wrangler's decoration. */
function reasonOf({ out, err }) {
  const text = `${err}\n${out}`.replace(/\u001b\[[0-9;]*m/g, '');
  const line = text.split('\n').find((candidate) => /ERROR/.test(candidate)) ?? '';
  return line.replace(/^.*ERROR\]?\s*/, '').trim() || text.trim().split('\n')[0] || 'no reason given';
}

function jsonOf({ status, out }) {
  if (status !== 0) return undefined;
  try {
    return JSON.parse(out);
  } catch {
    return undefined;
  }
}

function dirt() {
  try {
    const changed = execFileSync('git', ['status', '--porcelain'], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).trimEnd();
    if (changed === '') return [];
    return [`the tree has changes that no commit has; \`git commit -a\` them, so that what runs can be found again:\n  ${changed.split('\n').slice(0, 10).join('\n  ')}`];
  } catch {
    return ['this is no git repository, so nobody could say what runs; deploy from a clone, or with `npx wrangler deploy`'];
  }
}

/** The names of the Worker's secrets, or a problem. */
function secrets() {
  const list = wrangler('secret', 'list', '--format', 'json');
  const names = jsonOf(list)?.map?.(({ name }) => name);
  if (names !== undefined) return { names, problems: missing(names) };
  // The Worker exists only after its first secret or deployment.
  if (/10007|not found|does not exist/i.test(list.err + list.out)) return { names: [], problems: missing([]) };
  return { names: [], problems: [`the Worker's secrets cannot be listed: ${reasonOf(list)}`] };
}

function missing(names) {
  const flags = environmentArguments.map((text) => ` ${text}`).join('');
  return REQUIRED_SECRETS.filter((name) => !names.includes(name)).map(
    (name) => `the secret \`${name}\` is not set; \`npx wrangler secret put ${name}${flags}\`, or let \`sts app create\` do it`,
  );
}

/** The version that most requests go to, or `undefined` if nothing is deployed. */
function currentVersion() {
  const status = jsonOf(wrangler('deployments', 'status', '--json'));
  const versions = [...(status?.versions ?? [])].sort((a, b) => b.percentage - a.percentage);
  return versions[0]?.version_id;
}

/** The tag of the last migration of a version; `''` if it has none. */
function migrationOf(version) {
  const view = jsonOf(wrangler('versions', 'view', version, '--json'));
  return view?.resources === undefined ? undefined : (view.resources.script_runtime?.migration_tag ?? '');
}

async function smokeTest(domain, hasIssuerKey) {
  const base = process.env.STS_SMOKE_URL || `https://${domain}`;
  const until = Date.now() + SMOKE_SECONDS * 1000;
  say(`smoke test of ${base}, for up to ${SMOKE_SECONDS} s`);
  // Twice in a row, because right after a deployment the previous version sometimes still answers.
  for (let passed = 0; ; ) {
    const problems = await smoke(base, { domain, hasIssuerKey });
    passed = problems.length === 0 ? passed + 1 : 0;
    if (passed === 2) return [];
    if (Date.now() >= until && passed === 0) return problems;
    await sleep(SMOKE_PAUSE_MS);
  }
}

function goBack(before) {
  const leave = (why) => say(`the new version stays: ${why}`);
  if (before === undefined) return leave('there is none before it');
  const after = currentVersion();
  if (after === before) return leave('no new version is there');
  const [old, now] = [migrationOf(before), after === undefined ? undefined : migrationOf(after)];
  if (now && old !== undefined && old !== now) {
    return leave(`the migration \`${now}\` of a Durable Object lies between, and Cloudflare does not go back behind one`);
  }
  const rollback = wrangler('rollback', before, '--message', 'the smoke test failed', '--yes');
  if (rollback.status !== 0) return leave(`Cloudflare refuses to go back to ${before}: ${reasonOf(rollback)}`);
  say(`rolled back to the version before, ${before}`);
}

async function main() {
  const { problems, domain } = readSettings('wrangler.toml', environment);
  problems.push(...dirt());
  let names = [];
  // Without a Worker's name or an environment, there is nothing to look up.
  if (domain !== undefined) {
    const listed = secrets();
    names = listed.names;
    problems.push(...listed.problems);
  }
  if (problems.length > 0) {
    for (const problem of problems) console.error(`[deploy] ${problem}`);
    console.error('[deploy] nothing was deployed');
    return 1;
  }
  const commit = execFileSync('git', ['rev-parse', '--short=12', 'HEAD'], { encoding: 'utf8' }).trim();
  const before = currentVersion();
  say(`deploying ${commit}${environment === undefined ? '' : ` to \`${environment}\``}; the version before is ${before ?? 'none'}`);
  const deployed = wrangler('deploy', '--message', `commit ${commit}`, '--tag', commit);
  process.stdout.write(deployed.out);
  if (deployed.status !== 0) {
    process.stderr.write(deployed.err);
    console.error('[deploy] nothing was deployed');
    return 1;
  }
  const failed = await smokeTest(domain, names.includes('ISSUER_PRIVATE_KEY'));
  if (failed.length === 0) {
    say(`${domain} is well`);
    return 0;
  }
  for (const { name, problem } of failed) console.error(`[deploy] the smoke test failed: ${name} ${problem}`);
  goBack(before);
  return 1;
}

process.exitCode = await main();
