// Checks every workflow of the repository, `action.yml`, and the workflows and steps in the documentation against rules that
// prevent common mistakes: an action that is not pinned, a job with more permissions than it needs, an expression that becomes
// a shell command, a step that cannot run.

import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

import { parseDocument } from 'yaml';

const root = fileURLToPath(new URL('..', import.meta.url));

const WORKFLOW_KEYS = ['name', 'run-name', 'on', 'permissions', 'env', 'defaults', 'concurrency', 'jobs'];
const JOB_KEYS = ['name', 'permissions', 'needs', 'if', 'runs-on', 'environment', 'concurrency', 'outputs', 'env', 'defaults', 'steps', 'timeout-minutes', 'strategy', 'continue-on-error', 'container', 'services', 'uses', 'with', 'secrets'];
const STEP_KEYS = ['id', 'if', 'name', 'uses', 'run', 'working-directory', 'shell', 'with', 'env', 'continue-on-error', 'timeout-minutes'];
const PERMISSIONS = ['actions', 'artifact-metadata', 'attestations', 'checks', 'contents', 'deployments', 'discussions', 'id-token', 'issues', 'models', 'packages', 'pages', 'pull-requests', 'security-events', 'statuses'];
const EVENTS = ['push', 'pull_request', 'schedule', 'workflow_dispatch', 'workflow_call', 'release', 'merge_group', 'workflow_run', 'issues', 'pull_request_target'];

/** Problems of a workflow. `isOurs`: it runs here, and is not in a document for others. */
export function problemsOfWorkflow(text, { isOurs = true } = {}) {
  const document = parseDocument(text, { uniqueKeys: true });
  const problems = document.errors.map(({ message }) => message.split('\n')[0]);
  if (problems.length > 0) return problems;
  const workflow = document.toJS() ?? {};
  const say = (where, what) => problems.push(`${where}: ${what}`);
  unknown('workflow', workflow, WORKFLOW_KEYS, say);
  if (isOurs && !('permissions' in workflow)) say('workflow', '`permissions` is missing; begin with `permissions: {}`');
  if (isOurs && !('on' in workflow)) say('workflow', '`on` is missing');
  const on = workflow.on ?? {};
  for (const event of typeof on === 'string' ? [on] : Array.isArray(on) ? on : Object.keys(on)) {
    if (!EVENTS.includes(event)) say('on', `\`${event}\` is not a known event`);
    if (event === 'pull_request_target') say('on', '`pull_request_target` runs with secrets on what strangers send');
  }
  permissions('workflow', workflow.permissions, say);
  const jobs = workflow.jobs ?? {};
  if (Object.keys(jobs).length === 0) say('workflow', 'there is no job');
  for (const [name, job] of Object.entries(jobs)) {
    unknown(name, job, JOB_KEYS, say);
    permissions(name, job.permissions, say);
    for (const need of [job.needs ?? []].flat()) if (!(need in jobs)) say(name, `needs \`${need}\`, which is not a job`);
    if (job.uses) continue;
    if (!job['runs-on']) say(name, '`runs-on` is missing');
    if (isOurs && !job['timeout-minutes']) say(name, '`timeout-minutes` is missing: the default is six hours');
    if (isOurs && /latest/.test(String(job['runs-on']))) say(name, `\`${job['runs-on']}\` changes by itself; name a release`);
    problems.push(...problemsOfSteps(job.steps, { isOurs, where: name }));
    outputs(name, job, jobs, say);
  }
  return problems;
}

/** Problems of a list of steps. */
export function problemsOfSteps(steps, { isOurs = true, where = 'steps' } = {}) {
  const problems = [];
  if (!Array.isArray(steps) || steps.length === 0) return [`${where}: there are no steps`];
  const ids = new Set();
  for (const [index, step] of steps.entries()) {
    const place = `${where}, step ${index + 1}`;
    const say = (what) => problems.push(`${place}: ${what}`);
    unknown(place, step, STEP_KEYS, (_, what) => say(what));
    if (('run' in step) === ('uses' in step)) say('has neither or both of `run` and `uses`');
    if (step.id !== undefined && (ids.has(step.id) || !/^[A-Za-z_][\w-]*$/.test(step.id))) say(`the id \`${step.id}\` is duplicate or malformed`);
    // An expression in a script becomes part of the script: https://docs.github.com/en/actions/reference/security/secure-use
    if (/\$\{\{/.test(step.run ?? '')) say('an expression in `run` becomes a part of the script; pass it through `env`');
    for (const [, id] of JSON.stringify(step).matchAll(/steps\.([\w-]+)\./g)) if (!ids.has(id)) say(`\`steps.${id}\` is not an earlier step`);
    if (step.id !== undefined) ids.add(step.id);
    if (step.uses !== undefined && isOurs) pinned(step, say);
  }
  return problems;
}

function pinned({ uses, with: inputs }, say) {
  if (uses.startsWith('./')) return;
  if (!/^[\w.-]+\/[\w./-]+@[0-9a-f]{40}$/.test(uses)) say(`\`${uses}\` is not pinned to a commit`);
  if (uses.startsWith('actions/checkout@') && inputs?.['persist-credentials'] !== false) say('`actions/checkout` leaves a credential behind; set `persist-credentials: false`');
}

function permissions(where, value, say) {
  if (value === undefined) return;
  if (typeof value !== 'object' || value === null) {
    say(where, `\`permissions: ${value}\` is too much; list them`);
    return;
  }
  for (const [name, level] of Object.entries(value)) {
    if (!PERMISSIONS.includes(name)) say(where, `\`${name}\` is not a permission`);
    if (!['read', 'write', 'none'].includes(level)) say(where, `\`${level}\` is not a level of \`${name}\``);
  }
}

function outputs(name, job, jobs, say) {
  for (const [, needed] of JSON.stringify(job).matchAll(/\bneeds\.([\w-]+)\./g)) {
    if (!(needed in jobs) || ![job.needs ?? []].flat().includes(needed)) say(name, `\`needs.${needed}\` is not among its \`needs\``);
  }
}

function unknown(where, value, keys, say) {
  if (typeof value !== 'object' || value === null) {
    say(where, 'is not a mapping');
    return;
  }
  for (const key of Object.keys(value)) if (!keys.includes(key)) say(where, `\`${key}\` is not a key here`);
}

/** The YAML blocks of a document that are a workflow or steps of one, with their lines. */
export function blocksOf(markdown) {
  const blocks = [];
  for (const match of markdown.matchAll(/^```ya?ml\n([^]*?)^```$/gm)) {
    const [, text] = match;
    const line = markdown.slice(0, match.index).split('\n').length + 1;
    if (/^jobs:$/m.test(text)) blocks.push({ line, text, isWorkflow: true });
    else if (/^\s*- (uses|run|name|id|env):/m.test(text)) blocks.push({ line, text, isWorkflow: false });
  }
  return blocks;
}

function problemsOfBlock({ text, isWorkflow }) {
  if (isWorkflow) return problemsOfWorkflow(text, { isOurs: false });
  const document = parseDocument(text);
  if (document.errors.length > 0) return document.errors.map(({ message }) => message.split('\n')[0]);
  const steps = document.toJS();
  return problemsOfSteps(Array.isArray(steps) ? steps : steps?.steps, { isOurs: false });
}

function main() {
  const read = (path) => readFileSync(root + path, 'utf8');
  const within = (folder, ending) => readdirSync(root + folder).filter((name) => ending.test(name)).map((name) => folder + name);
  const found = [];
  const add = (path, problems) => found.push(...problems.map((problem) => `${path}: ${problem}`));
  for (const path of within('.github/workflows/', /\.ya?ml$/)) add(path, problemsOfWorkflow(read(path)));
  for (const path of [...within('', /\.md$/), ...within('docs/', /\.md$/)]) {
    for (const block of blocksOf(read(path))) add(`${path}:${block.line}`, problemsOfBlock(block));
  }
  if (found.length === 0) return;
  console.error(found.join('\n'));
  process.exitCode = 1;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) main();
