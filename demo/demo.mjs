// The whole story in a terminal: the real Worker under `wrangler dev`, a GitHub and an issuer on this machine, real
// requests and real answers. Started by `make demo`; with KEEP=1 everything stays up and there are lines to try.

import { randomBytes, randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';

import { sign } from '@octokit/webhooks-methods';

import { APP_ID, GitHub } from '../tests/e2e/support/github.mjs';
import { Internet } from '../tests/e2e/support/internet.mjs';
import { actionsClaims, MockIssuer } from '../tests/e2e/support/issuers.mjs';
import { Anthropic } from './anthropic.mjs';
import { anOAuthLibraryAsksForLess, newSigningKey, theKeyIsRotated } from './issuer.mjs';
import { anSdkCallsThroughTheProxy, upstreams } from './proxy.mjs';
import { answer, bad, checks, claim, expect, good, note, request, say, source, step, summary } from './terminal.mjs';
import { WranglerDev } from './wrangler-dev.mjs';

const DOMAIN = 'sts.example.com';
const POLICY_PATH = '.github/chainguard/deploy.sts.yaml';
const WEBHOOK_SECRET = randomBytes(20).toString('hex');
const TYPO_PATH = '.github/chainguard/release.sts.yaml';

const began = Date.now();
const opened = [];

async function main() {
  say('starting GitHub, an OIDC issuer, Anthropic and the Worker on this machine ...');
  const world = await start();
  good(`ready after ${((Date.now() - began) / 1000).toFixed(1)} s: the Worker at ${world.service}`);

  await aPolicyIsCommitted(world);
  const token = await aTokenIsExchanged(world);
  await theTokenDoesWhatItMayAndNoMore(world, token);
  await anotherBranchIsRefused(world);
  await aTypoIsRefused(world);
  await theTokenIsRevoked(world, token);
  await aPullRequestIsChecked(world);
  await everythingIsOnRecord(world);
  await anOAuthLibraryAsksForLess(world);
  await theKeyIsRotated(world);
  await anSdkCallsThroughTheProxy(world);

  const failed = checks.filter(({ holds }) => !holds).length;
  summary(checks, (Date.now() - began) / 1000);
  if (process.env.KEEP === '1' && failed === 0) await keep(world);
  return failed === 0 ? 0 : 1;
}

async function start() {
  const githubNet = await open(Internet.open());
  const github = await open(
    GitHub.start([{ account: 'acme', id: 1001, kind: 'Organization', repositories: ['app', 'docs', '.github'] }]),
  );
  githubNet.host(githubNet.address, github.answerer);

  const issuerNet = await open(Internet.open());
  const issuer = await MockIssuer.start(`http://${issuerNet.address}`);
  issuerNet.host(issuerNet.address, issuer.answerer);

  // Resolves the domain, for clients that only know the service by it.
  const world = {
    ...{ domain: DOMAIN, github, githubNet, issuer },
    get service() {
      return this.worker.url;
    },
  };
  /** What no log may show, in addition to the tokens that GitHub, the issuer and Anthropic issued. */
  world.secrets = [WEBHOOK_SECRET, github.privateKey.split('\n')[1]];
  world.reach = (url, init) => fetch(String(url).replace(`https://${DOMAIN}`, world.service), init);
  world.anthropic = await open(Anthropic.start({ issuer: `https://${DOMAIN}`, reach: world.reach }));
  world.upstreams = upstreams(world);
  world.settings = {
    DOMAIN,
    GITHUB_APP_ID: String(APP_ID),
    GITHUB_APP_PRIVATE_KEY: github.privateKey,
    GITHUB_WEBHOOK_SECRET: WEBHOOK_SECRET,
    GITHUB_BASE_URL: `http://${githubNet.address}`,
    ISSUER_PRIVATE_KEY: newSigningKey(),
    UPSTREAMS: JSON.stringify(world.upstreams),
    ALLOW_LOOPBACK_HTTP: 'true',
  };
  world.worker = await open(WranglerDev.start(world.settings));
  return world;
}

async function aPolicyIsCommitted({ github, issuer }) {
  step('A policy is committed');
  const policy = `issuer: ${issuer.url}
subject: repo:acme/app:ref:refs/heads/main
permissions:
  contents: read
`;
  source(`acme/app, default branch: ${POLICY_PATH}`, policy);
  const sha = await github.commit('acme/app', POLICY_PATH, policy);
  good(`committed as ${sha.slice(0, 12)}; the service needs no redeployment and keeps no list of policies`);
}

async function aTokenIsExchanged(world) {
  step('A workflow on the main branch exchanges its OIDC token');
  note('what the token says:');
  const claims = actionsClaims();
  for (const name of ['iss', 'aud', 'sub', 'repository', 'job_workflow_ref']) {
    claim(name, name === 'iss' ? world.issuer.url : claims[name]);
  }
  const { status, body } = await exchange(world, 'deploy', claims, 'OIDC_TOKEN');
  expect('the service gives a GitHub token with exactly the permissions of the policy', status === 200 && onlyReads(body));
  const ledger = await world.github.ledger();
  expect(
    'GitHub minted it for acme/app alone, with contents: read and nothing else',
    onlyReads(ledger.at(-1)),
  );
  return body.token;
}

const onlyReads = (body) => JSON.stringify([body.permissions, body.repositories]) === '[{"contents":"read"},["app"]]';

async function theTokenDoesWhatItMayAndNoMore(world, token) {
  step('The GitHub token reads the repository, and can do no more');
  const read = await callGitHub(world, token, 'GET', `/repos/acme/app/contents/README.md`);
  expect('it reads acme/app', read.status === 200);
  const write = await callGitHub(world, token, 'PUT', '/repos/acme/app/contents/evil.sh', { message: 'x', content: 'eA==' });
  expect('it cannot write to acme/app', write.status === 403);
  const other = await callGitHub(world, token, 'GET', '/repos/acme/docs/contents/README.md');
  expect('it cannot read acme/docs', other.status >= 400);
}

async function anotherBranchIsRefused(world) {
  step('A token of another branch is refused, and the answer says why');
  const { status, body } = await exchange(world, 'deploy', actionsClaims({ ref: 'refs/heads/dev' }), 'DEV_TOKEN');
  expect('403: the rule that failed and the caller’s own value; the policy’s value stays unknown', status === 403);
  expect('the message names the subject', body.message.includes('repo:acme/app:ref:refs/heads/dev'));
}

async function aTypoIsRefused(world) {
  step('A policy with a typo is refused, with its line and column');
  const policy = `issuer: ${world.issuer.url}
subject: repo:acme/app:ref:refs/heads/main
permissions:
  content: read
`;
  source(`acme/app, default branch: ${TYPO_PATH}`, policy);
  await world.github.commit('acme/app', TYPO_PATH, policy);
  const { status } = await exchange(world, 'release', actionsClaims(), 'OIDC_TOKEN');
  expect('the caller learns only that there is no such policy', status === 404);
  const line = await world.worker.logged(({ path }) => path === TYPO_PATH);
  note('its authors find the mistake in the log:');
  answer(line ?? {});
  expect('the log has the file, its line 4 and column 3', line?.mistakes.startsWith('4:3 '));
}

async function theTokenIsRevoked(world, token) {
  step('The token is revoked when the job is done');
  request('POST', `${world.service}/sts/revoke`, { authorization: 'Bearer $GITHUB_TOKEN' });
  const revoked = await fetch(`${world.service}/sts/revoke`, { method: 'POST', headers: { authorization: `Bearer ${token}` } });
  answer(revoked.status);
  const { status } = await callGitHub(world, token, 'GET', '/repos/acme/app/contents/README.md');
  expect('GitHub does not know it any more', revoked.status === 204 && status === 401);
}

async function aPullRequestIsChecked(world) {
  step('A pull request that breaks a policy gets a red check run; the merge of the repaired one is in force at once');
  const { github, issuer } = world;
  const policy = (ref, permission) => `issuer: ${issuer.url}
subject: repo:acme/app:ref:refs/heads/${ref}
permissions:
  ${permission}: read
`;
  const before = await exchange(world, 'deploy', actionsClaims(), 'OIDC_TOKEN');
  expect('for now the main branch gets its token, and the service remembers the policy', before.status === 200);

  await github.branch('acme/app', 'tighten');
  const broken = policy('release', 'content');
  source(`acme/app, branch tighten: ${POLICY_PATH}`, broken);
  const first = await github.push('acme/app', { [POLICY_PATH]: broken }, 'tighten');
  const number = await github.openPullRequest('acme/app', 'tighten');
  await deliver(world, 'pull_request', { action: 'opened', ...(await pullRequest(world, number)) });
  const red = await checkRun(world, first.after);
  expect('the check run is red, with a note at line 4 and column 3', red?.conclusion === 'failure' && red.places.includes('4:3'));

  const repaired = policy('release', 'contents');
  source('the same, repaired', repaired);
  const second = await github.push('acme/app', { [POLICY_PATH]: repaired }, 'tighten');
  await deliver(world, 'pull_request', { action: 'synchronize', ...(await pullRequest(world, number)) });
  const green = await checkRun(world, second.after);
  expect('the check run of the new commit is green', green?.conclusion === 'success');

  const merged = await github.fastForward('acme/app', 'tighten');
  good('merged to the default branch, which GitHub tells the service as well');
  await deliver(world, 'push', { ref: 'refs/heads/main', ...merged, commits: [...first.commits, ...second.commits] });
  const after = await exchange(world, 'deploy', actionsClaims(), 'OIDC_TOKEN');
  expect('the very next exchange goes by the new policy: the main branch is refused', after.status === 403);
  const { status } = await exchange(world, 'deploy', actionsClaims({ ref: 'refs/heads/release' }), 'RELEASE_TOKEN');
  expect('and the release branch gets a token', status === 200);
}

async function everythingIsOnRecord(world) {
  step('Every decision is on record');
  const granted = await world.worker.logged(({ event, outcome }) => event === 'exchange' && outcome === 'granted');
  answer(granted ?? {});
  expect('the audit event has the hash by which GitHub’s own audit log names the token', Boolean(granted?.hashed_token));
}

async function pullRequest({ github }, number) {
  return { number, pull_request: await github.pullRequest('acme/app', number) };
}

/** A delivery as GitHub signs and sends it. */
async function deliver({ github, service }, event, payload) {
  const installation = { id: 1001 };
  const sender = { login: 'octocat', type: 'User' };
  const body = JSON.stringify({ ...payload, installation, sender, repository: await github.repository('acme/app') });
  const headers = { 'x-github-event': event, 'x-hub-signature-256': await sign(WEBHOOK_SECRET, body) };
  note(`GitHub delivers ${[event, payload.action].filter(Boolean).join(', ')}, signed:`);
  request('POST', `${service}/webhook`, { 'x-github-event': event, 'x-hub-signature-256': 'sha256=…' });
  const response = await fetch(`${service}/webhook`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', 'x-github-delivery': randomUUID(), ...headers },
    body,
  });
  answer(response.status, await response.json());
}

/** The check run of a commit, displayed as on GitHub's page: the title, and the errors at their positions. */
async function checkRun({ github }, sha) {
  const [run, ...more] = await github.checkRuns('acme/app', sha);
  if (!run || more.length > 0) return undefined;
  const errors = run.annotations.filter(({ annotation_level: level }) => level === 'failure');
  note(`${run.name}: ${run.conclusion}: ${run.output.title}`);
  for (const { path, start_line: line, start_column: column, message } of errors) claim(`${line}:${column}`, `${path}: ${message}`);
  return { conclusion: run.conclusion, places: errors.map(({ start_line: line, start_column: column }) => `${line}:${column}`) };
}

/** Asks the service for a token, and shows the request as a `curl` command. */
async function exchange({ issuer, service }, identity, claims, variable) {
  const url = `${service}/sts/exchange?scope=acme/app&identity=${identity}`;
  request('POST', url, { authorization: `Bearer $${variable}` });
  const token = await issuer.token(claims);
  const response = await fetch(url, { method: 'POST', headers: { authorization: `Bearer ${token}` } });
  const body = await response.json();
  answer(response.status, body);
  return { status: response.status, body };
}

async function callGitHub({ githubNet }, token, method, path, body) {
  request(method, `http://${githubNet.address}${path}`, { authorization: 'Bearer $GITHUB_TOKEN' });
  const response = await fetch(`http://${githubNet.address}${path}`, {
    method,
    headers: {
      authorization: `Bearer ${token}`,
      accept: 'application/vnd.github+json',
      'x-github-api-version': '2022-11-28',
      ...(body ? { 'content-type': 'application/json' } : {}),
    },
    body: body && JSON.stringify(body),
  });
  const { message, name } = await response.json();
  answer(response.status, message ? { message } : { name });
  return { status: response.status };
}

async function keep({ issuer, service, githubNet }) {
  // Now the policy is that of the pull request.
  const token = await issuer.token(actionsClaims({ ref: 'refs/heads/release' }));
  say('everything stays up until Ctrl-C. Lines to try:');
  console.log(`
  curl -s ${service}/readyz

  OIDC_TOKEN=${token}
  curl -s -X POST -H "Authorization: Bearer $OIDC_TOKEN" '${service}/sts/exchange?scope=acme/app&identity=deploy'

  GITHUB_TOKEN=...the token of the answer...
  curl -s -H "Authorization: Bearer $GITHUB_TOKEN" http://${githubNet.address}/repos/acme/app/contents/README.md
  curl -s -X POST -H "Authorization: Bearer $GITHUB_TOKEN" ${service}/sts/revoke
`);
  await new Promise((stop) => process.once('SIGINT', stop));
}

/** Remembers what has to be closed at the end. */
async function open(opening) {
  const resource = await opening;
  opened.push(resource);
  return resource;
}

async function close() {
  for (const resource of opened.reverse()) await Promise.race([resource.close(), sleep(5000)]);
}

let status = 1;
try {
  status = await main();
} catch (error) {
  bad(error.message);
} finally {
  await close();
}
process.exit(status);
