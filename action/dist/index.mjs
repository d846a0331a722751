// Made from action/src by `make action`; not edited by hand.

// action/src/git.mjs
import { execFile } from "node:child_process";
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
var run = promisify(execFile);
async function configureGit(runner2, { scope, github }, repositories, token) {
  const folder = mkdtempSync(join(runner2.variable("RUNNER_TEMP") ?? tmpdir(), "octo-sts-"));
  runner2.save("git", folder);
  const store = join(folder, "credentials").replaceAll("\\", "/");
  const settings = join(folder, "gitconfig").replaceAll("\\", "/");
  const { protocol, host } = new URL(github.web);
  writeFileSync(store, `${protocol}//x-access-token:${encodeURIComponent(token)}@${host}
`, { mode: 384 });
  chmodSync(folder, 448);
  const helper = `store --file='${store.replaceAll("'", `'\\''`)}'`;
  const sections = addresses(github.web, scope, repositories).flatMap((address) => [
    `[credential "${quoted(address)}"]`,
    // The empty value clears the helpers configured before, such as a keychain.
    "	helper =",
    `	helper = "${quoted(helper)}"`,
    "	useHttpPath = false",
    `[http "${quoted(address)}"]`,
    // Otherwise git would send the credentials of actions/checkout.
    "	extraheader ="
  ]);
  writeFileSync(settings, `${sections.join("\n")}
`, { mode: 384 });
  await run("git", ["config", "--global", "--add", "include.path", settings]);
}
async function forgetGit(runner2) {
  const folder = runner2.state("git");
  if (!folder) return;
  rmSync(folder, { recursive: true, force: true });
  const settings = join(folder, "gitconfig").replaceAll("\\", "/");
  await run("git", ["config", "--global", "--fixed-value", "--unset-all", "include.path", settings]);
}
function addresses(web, scope, repositories) {
  const [owner, repository] = scope.split("/");
  if (repository === void 0 && !Array.isArray(repositories)) return [`${web}/${owner}`];
  const names = repository === void 0 ? repositories : [repository];
  return names.flatMap((name) => [`${web}/${owner}/${name}`, `${web}/${owner}/${name}.git`]);
}
function quoted(text) {
  if (/[\n\0]/.test(text)) throw new Error("a line end in a name");
  return text.replaceAll("\\", "\\\\").replaceAll('"', '\\"');
}

// action/src/inputs.mjs
function readInputs(runner2) {
  const service = serviceOf(runner2.input("domain"));
  const audience = runner2.input("audience") ?? service.domain;
  const github = githubOf(runner2.input("github-url") ?? runner2.variable("GITHUB_SERVER_URL") ?? "https://github.com");
  const configureGit2 = flag(runner2, "configure-git");
  const upstream = runner2.input("upstream");
  if (upstream !== void 0) {
    if (!/^[A-Za-z0-9._-]{1,100}$/.test(upstream)) throw new Error(`\`upstream\`: \`${upstream}\` is not the name of an upstream`);
    for (const name of ["scope", "identity", "permissions", "repositories"]) {
      if (runner2.input(name) !== void 0) throw new Error(`\`upstream\` and \`${name}\` cannot be used together: a session is for the upstream alone`);
    }
    if (configureGit2) throw new Error("`upstream` and `configure-git` cannot be used together: a session is not a GitHub token");
    return { service, audience, github, upstream, configureGit: configureGit2 };
  }
  const identity = runner2.input("identity");
  if (identity === void 0) throw new Error("`identity` is missing: give the name of the trust policy");
  const scope = runner2.input("scope") ?? runner2.variable("GITHUB_REPOSITORY");
  if (scope === void 0) throw new Error("`scope` is missing: give the repository, `acme/app`");
  const permissions = permissionsOf(runner2.input("permissions"));
  const repositories = listOf(runner2.input("repositories"));
  return { service, audience, github, scope, identity, permissions, repositories, configureGit: configureGit2 };
}
function serviceOf(domain) {
  if (domain === void 0) throw new Error("`domain` is missing: give the host of the service, `sts.example.com`");
  if (/^(localhost|127\.0\.0\.1):[0-9]{1,5}$/.test(domain)) return { domain, url: `http://${domain}` };
  const label = "[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?";
  if (!new RegExp(`^${label}(?:\\.${label})*(?::[0-9]{1,5})?$`).test(domain)) {
    throw new Error(`\`domain\`: \`${domain}\` is not a bare host; write \`sts.example.com\`, without scheme and path`);
  }
  return { domain, url: `https://${domain}` };
}
function githubOf(text) {
  let url;
  try {
    url = new URL(text);
  } catch {
    throw new Error(`\`github-url\`: \`${text}\` is not a URL; write \`https://github.com\``);
  }
  const isHere = url.hostname === "localhost" || url.hostname === "127.0.0.1";
  const isBare = url.pathname === "/" && !url.search && !url.hash && !url.username && !url.password;
  if (!isBare || !(url.protocol === "https:" || url.protocol === "http:" && isHere)) {
    throw new Error(`\`github-url\`: \`${text}\` is not the address of a GitHub; write \`https://github.com\`, without a path`);
  }
  const web = url.origin;
  if (url.hostname === "github.com") return { web, api: "https://api.github.com" };
  if (url.hostname.endsWith(".ghe.com")) return { web, api: `https://api.${url.host}` };
  return { web, api: `${web}/api/v3` };
}
function flag(runner2, name) {
  const value = runner2.input(name) ?? "false";
  if (!/^(true|false)$/i.test(value)) throw new Error(`\`${name}\`: \`${value}\` is neither \`true\` nor \`false\``);
  return value.toLowerCase() === "true";
}
function permissionsOf(text) {
  const items = listOf(text);
  if (items === void 0) return void 0;
  const permissions = /* @__PURE__ */ new Map();
  for (const item of items) {
    const [, name, level] = /^([A-Za-z_-]+)\s*[:=]\s*([A-Za-z]+)$/.exec(item) ?? [];
    if (name === void 0) throw new Error(`\`permissions\`: \`${item}\` is not a permission; write \`contents:read\``);
    if (permissions.has(name)) throw new Error(`\`permissions\`: \`${name}\` is there twice`);
    permissions.set(name, level);
  }
  return Object.fromEntries(permissions);
}
function listOf(text) {
  if (text === void 0) return void 0;
  const items = text.split(/[,\n\r]/).map((item) => item.trim()).filter(Boolean);
  if (items.length === 0) throw new Error(`\`${text}\` lists nothing`);
  return items;
}

// action/src/refusal.mjs
var USUAL_CLAIMS = ["iss", "sub", "aud", "repository", "ref", "event_name", "environment", "job_workflow_ref", "workflow_ref", "repository_id", "repository_owner_id", "repository_visibility", "runner_environment", "actor"];
var ABOUT_THE_TOKEN = /* @__PURE__ */ new Set(["permission_denied", "policy_not_found", "invalid_token", "invalid_grant"]);
var Refusal = class extends Error {
  #inputs;
  #answer;
  #body;
  #claims;
  constructor(inputs, answer, body, claims) {
    super(messageOf(answer, body, inputs));
    this.#inputs = inputs;
    this.#answer = answer;
    this.#body = body ?? {};
    this.#claims = claims ?? {};
  }
  tell(runner2) {
    if (this.#isAboutTheToken()) runner2.group("Claims of the job's token", JSON.stringify(this.#claims, null, 2));
    const hint = this.#hint();
    runner2.error(hint ? `${this.message}; ${hint}` : this.message);
    runner2.summary(this.#page());
  }
  #isAboutTheToken() {
    return ABOUT_THE_TOKEN.has(this.#body.error);
  }
  /** What to do, if the answer alone does not say it. */
  #hint() {
    const { scope, identity, audience, service } = this.#inputs;
    switch (this.#body.error) {
      case "policy_not_found":
        return `looked for \`${policyFile(identity)}\` on the default branch of \`${policyRepository(scope)}\``;
      case "installation_not_found":
        return `the App of this service has to be installed for \`${scope}\``;
      case "invalid_token":
      case "invalid_grant":
        return audience === service.domain ? void 0 : `the token was requested with the audience \`${audience}\``;
      case "rate_limited":
      case "unavailable":
        return "run the job again later";
      default:
        return void 0;
    }
  }
  #page() {
    const { scope, identity, upstream, service } = this.#inputs;
    const what = upstream === void 0 ? `${code(scope)} by the policy ${code(identity)}` : `the upstream ${code(upstream)}`;
    const hint = this.#hint();
    const parts = ["### ❌ No token", `${code(service.domain)} gave no token for ${what}:`, `> ${inMarkdown(this.message)}`];
    if (hint) parts.push(`${inMarkdown(hint[0].toUpperCase() + hint.slice(1))}.`);
    if (this.#isAboutTheToken()) parts.push(this.#claimsTable(), ...this.#explanation());
    const id = this.#body.request_id;
    if (typeof id === "string") parts.push(`<sub>HTTP ${this.#answer.status}, request ${code(id)}</sub>`);
    return `${parts.join("\n\n")}
`;
  }
  #claimsTable() {
    const named = new Set([...this.message.matchAll(/claim `([^`]+)`/g)].map(([, name]) => name));
    const about = { subject: "sub", issuer: "iss", audience: "aud", audiences: "aud" };
    for (const [word, claim] of Object.entries(about)) if (new RegExp(`token's ${word}\\b`).test(this.message)) named.add(claim);
    const shown = [...named, ...USUAL_CLAIMS.filter((name) => !named.has(name) && name in this.#claims)];
    const rows = shown.map((name) => {
      const value = this.#claims[name];
      const text = value === void 0 ? "<em>not in the token</em>" : code(typeof value === "string" ? value : JSON.stringify(value));
      return `| ${code(name)} | ${text} | ${named.has(name) ? "❌ refused" : ""} |`;
    });
    return ["| claim | value | |", "| --- | --- | --- |", ...rows].join("\n");
  }
  #explanation() {
    const { scope, identity, upstream, service } = this.#inputs;
    if (upstream !== void 0 || !/^[A-Za-z0-9._-]+$/.test(identity)) return [];
    const org = scope.includes("/") ? "" : " --org";
    const command = `sts explain ${policyFile(identity)}${org} --domain ${service.domain} --claims - <<'CLAIMS'`;
    const block = `${command}
${JSON.stringify(this.#claims, null, 2)}
CLAIMS`;
    const fence = "`".repeat(Math.max(3, ...[...block.matchAll(/`+/g)].map(([run2]) => run2.length + 1)));
    return [
      `To see every rule of the policy and why this token does not pass, in a clone of ${code(policyRepository(scope))}:`,
      `${fence}sh
${block}
${fence}`
    ];
  }
};
function messageOf({ status }, body, { service }) {
  const text = body?.message ?? body?.error_description ?? body?.error;
  if (typeof text === "string" && text !== "") return text.slice(0, 2e3).replace(/[\r\n]+/g, " ");
  if (status >= 300 && status < 400) return `\`${service.domain}\` redirects, which the service never does; is this its domain?`;
  return `\`${service.domain}\` answered with ${status} and no reason; is this the domain of the service?`;
}
var policyFile = (identity) => `.github/chainguard/${identity}.sts.yaml`;
var policyRepository = (scope) => scope.includes("/") ? scope : `${scope}/.github`;
var html = (text) => String(text).replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
var SPECIAL = /[`|*_~\\[\]#!@]|:(?=\/\/)|(?<=\bwww)\./gi;
var byNumber = (character) => `&#${character.codePointAt(0)};`;
function code(text) {
  return `<code>${html(text).replace(/[\r\n]+/g, " ").replace(SPECIAL, byNumber)}</code>`;
}
function inMarkdown(message) {
  return message.split("`").map((part, index) => index % 2 === 1 ? code(part) : html(part).replace(SPECIAL, byNumber)).join("");
}

// action/src/requests.mjs
var TIMEOUT_MS = 3e4;
var MAX_REPEATS = 3;
var MAX_WAIT_MS = 12e4;
var MAX_BODY = 1024 * 1024;
var sleep = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));
async function ask(who, url, init) {
  try {
    const response = await fetch(url, { ...init, redirect: "manual", signal: AbortSignal.timeout(TIMEOUT_MS) });
    return { status: response.status, headers: response.headers, text: await bounded(response) };
  } catch (error) {
    const reason = error.name === "TimeoutError" ? `no answer within ${TIMEOUT_MS / 1e3} seconds` : error.cause?.code ?? error.cause?.message ?? error.message;
    throw new Error(`${who} cannot be reached: ${reason}`);
  }
}
async function bounded(response) {
  const chunks = [];
  let length = 0;
  for await (const chunk of response.body ?? []) {
    length += chunk.length;
    if (length > MAX_BODY) throw new Error("the answer is too large");
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString("utf8");
}
async function patiently(send, runner2, { maxWait = MAX_WAIT_MS, wait = sleep } = {}) {
  let left = maxWait;
  for (let repeats = 0; ; repeats += 1) {
    const answer = await send();
    const later = answer.status === 429 || answer.status >= 500 ? retryAfter(answer.headers.get("retry-after"), Date.now()) : void 0;
    if (later === void 0 || repeats === MAX_REPEATS || later > left) return answer;
    left -= later;
    runner2.info(`answered with ${answer.status}; again in ${Math.ceil(later / 1e3)} s`);
    await wait(later);
  }
}
function retryAfter(text, now) {
  if (text === null) return void 0;
  if (/^[0-9]{1,9}$/.test(text.trim())) return Number(text) * 1e3;
  const at = /[A-Za-z]/.test(text) ? Date.parse(text) : NaN;
  return Number.isNaN(at) ? void 0 : Math.max(0, at - now);
}
function objectOf(text) {
  try {
    const value = JSON.parse(text);
    return typeof value === "object" && value !== null && !Array.isArray(value) ? value : void 0;
  } catch {
    return void 0;
  }
}

// action/src/end.mjs
var MAX_WAIT_MS2 = 2e4;
async function end(runner2) {
  try {
    await forgetGit(runner2);
  } catch (error) {
    runner2.warning(`git's settings were not restored: ${error.message}`);
  }
  const held = objectOf(runner2.state("held") ?? "");
  if (held === void 0) {
    runner2.info("there is no token to revoke");
    return;
  }
  runner2.mask(held.token);
  try {
    runner2.info(await revoke(held, runner2));
  } catch (error) {
    runner2.warning(`the token was not revoked and expires on its own: ${error.message}`);
  }
}
async function revoke({ token, service, api }, runner2) {
  const init = (method) => ({ method, headers: { authorization: `Bearer ${token}`, accept: "application/vnd.github+json", "user-agent": "octo-sts-worker-action" } });
  let problem;
  try {
    const answer2 = await patiently(() => ask("the service", `${service}/sts/revoke`, init("POST")), runner2, { maxWait: MAX_WAIT_MS2 });
    if (answer2.status === 204) return "the token is revoked";
    problem = `the service answered with ${answer2.status}`;
  } catch (error) {
    problem = error.message;
  }
  if (!api) throw new Error(problem);
  const answer = await ask("GitHub", `${api}/installation/token`, init("DELETE"));
  if (answer.status !== 204 && answer.status !== 401) throw new Error(`${problem}, and GitHub with ${answer.status}`);
  return `the token is revoked by GitHub itself: ${problem}`;
}

// action/src/obtain.mjs
var TOKEN_EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange";
var ID_TOKEN = "urn:ietf:params:oauth:token-type:id_token";
async function obtain(runner2) {
  runner2.save("phase", "end");
  const inputs = readInputs(runner2);
  const { service, upstream } = inputs;
  let claims;
  const answer = await patiently(async () => {
    const oidc = await jobToken(runner2, inputs.audience);
    claims = claimsOf(oidc);
    return ask(`the service at \`${service.domain}\``, ...request(inputs, oidc));
  }, runner2);
  const body = objectOf(answer.text);
  const token = body?.access_token ?? body?.token;
  if (answer.status !== 200 || typeof token !== "string") throw new Refusal(inputs, answer, body, claims);
  if (!/^[\x21-\x7e]+$/.test(token)) throw new Error("the service answered with something that is not a token");
  runner2.mask(token);
  const baseUrl = upstream === void 0 ? inputs.github.api : `${service.url}/proxy/${upstream}`;
  const held = { token, service: service.url, api: upstream === void 0 ? inputs.github.api : "" };
  runner2.save("held", JSON.stringify(held));
  await refuseWider(inputs, body, held, runner2);
  if (inputs.configureGit) await configureGit(runner2, inputs, body.repositories, token);
  const expiresAt = expiry(body);
  runner2.output("token", token);
  runner2.output("expires-at", expiresAt);
  runner2.output("base-url", baseUrl);
  if (upstream === void 0) runner2.output("permissions", JSON.stringify(body.permissions ?? {}));
  runner2.info(`${told(inputs, body)}${expiresAt ? `, until ${expiresAt}` : ""}`);
}
function request({ service, scope, identity, permissions, repositories, upstream }, oidc) {
  if (upstream !== void 0) {
    const resource = `https://${service.domain}/proxy/${upstream}`;
    const body2 = new URLSearchParams({ grant_type: TOKEN_EXCHANGE, subject_token: oidc, subject_token_type: ID_TOKEN, resource });
    return [`${service.url}/sts/token`, { method: "POST", body: body2 }];
  }
  const authorization = `Bearer ${oidc}`;
  if (permissions === void 0 && repositories === void 0) {
    const query = new URLSearchParams({ scope, scopes: scope, identity });
    return [`${service.url}/sts/exchange?${query}`, { headers: { authorization } }];
  }
  const body = JSON.stringify({ scope, identity, permissions, repositories });
  return [`${service.url}/sts/exchange`, { method: "POST", headers: { authorization, "content-type": "application/json" }, body }];
}
async function jobToken(runner2, audience) {
  const [url, credential] = [runner2.variable("ACTIONS_ID_TOKEN_REQUEST_URL"), runner2.variable("ACTIONS_ID_TOKEN_REQUEST_TOKEN")];
  if (!url || !credential) {
    throw new Error("the job may not request an OIDC token: set `permissions: id-token: write` for it (pull requests from forks never get one)");
  }
  const address = new URL(url);
  address.searchParams.set("audience", audience);
  const headers = { authorization: `Bearer ${credential}`, accept: "application/json" };
  const answer = await patiently(() => ask("the runner's token service", address, { headers }), runner2);
  const token = objectOf(answer.text)?.value;
  if (answer.status !== 200 || typeof token !== "string" || !/^[\w.-]+$/.test(token)) {
    throw new Error(`the runner's token service gave no OIDC token: it answered with ${answer.status}`);
  }
  runner2.mask(token);
  return token;
}
function claimsOf(token) {
  return objectOf(Buffer.from(token.split(".")[1] ?? "", "base64url").toString("utf8")) ?? {};
}
async function refuseWider({ permissions, repositories }, body, held, runner2) {
  const LEVELS = ["read", "write", "admin"];
  const wider = [];
  if (permissions !== void 0) {
    const asked = { metadata: "read", ...permissions };
    for (const [name, level] of Object.entries(body.permissions ?? { "everything": "" })) {
      if (LEVELS.indexOf(level) === -1 || LEVELS.indexOf(level) > LEVELS.indexOf(asked[name])) wider.push(`${name}: ${level}`);
    }
  }
  if (repositories !== void 0) {
    const asked = new Set(repositories.map((name) => name.toLowerCase()));
    for (const name of Array.isArray(body.repositories) ? body.repositories : ["every repository"]) {
      if (!asked.has(String(name).toLowerCase())) wider.push(String(name));
    }
  }
  if (wider.length === 0) return;
  try {
    runner2.info(await revoke(held, runner2));
    runner2.save("held", "");
  } catch (error) {
    runner2.warning(`the token was not revoked yet: ${error.message}`);
  }
  throw new Error(`the service granted more than was requested (${wider.join(", ")}), so the step does not pass the token on; does this service support \`permissions\` and \`repositories\`?`);
}
function expiry({ expires_at: at, expires_in: seconds }) {
  if (typeof at === "string" && /^[0-9TZ:.+-]+$/.test(at)) return at;
  if (typeof seconds !== "number" || !(seconds >= 0 && seconds < 1e9)) return "";
  return new Date(Date.now() + seconds * 1e3).toISOString().replace(/\.\d+Z$/, "Z");
}
function told({ scope, identity, upstream }, body) {
  if (upstream !== void 0) return `a session for the upstream \`${upstream}\``;
  const permissions = Object.entries(body.permissions ?? {}).map(([name, level]) => `${name}: ${level}`).join(", ");
  return `a token for ${scope} by the policy \`${identity}\`${permissions ? ` (${permissions})` : ""}`;
}

// action/src/runner.mjs
import { randomBytes } from "node:crypto";
import { appendFileSync } from "node:fs";
var MAX_SUMMARY = 1024 * 1024;
var Runner = class {
  #environment;
  #write;
  constructor(environment, write) {
    this.#environment = environment;
    this.#write = write;
  }
  /** A variable of the runner, or `undefined` if it is not set or empty. */
  variable(name) {
    return this.#environment[name] || void 0;
  }
  /** An input without surrounding white space, or `undefined` if it is not set or empty. */
  input(name) {
    return this.variable(`INPUT_${name.replaceAll(" ", "_").toUpperCase()}`)?.trim() || void 0;
  }
  /** What the first step saved for the last one. */
  state(name) {
    return this.variable(`STATE_${name}`);
  }
  save(name, value) {
    this.#append("GITHUB_STATE", name, value);
  }
  output(name, value) {
    this.#append("GITHUB_OUTPUT", name, value);
  }
  /** From now on, the runner prints `***` instead of this text. */
  mask(secret) {
    this.#write(`::add-mask::${escaped(secret)}
`);
  }
  info(text) {
    this.#write(`${harmless(text)}
`);
  }
  /** A collapsed section of the log. */
  group(title, text) {
    this.#write(`::group::${escaped(title)}
`);
    this.info(text);
    this.#write("::endgroup::\n");
  }
  warning(text) {
    this.#write(`::warning title=octo-sts::${escaped(text)}
`);
  }
  error(text) {
    this.#write(`::error title=octo-sts::${escaped(text)}
`);
  }
  /** Adds to the page of the run. Some runners have no summaries; there, the log has to suffice. */
  summary(markdown) {
    const file = this.variable("GITHUB_STEP_SUMMARY");
    if (file && Buffer.byteLength(markdown) < MAX_SUMMARY) appendFileSync(file, `${markdown}
`);
  }
  #append(variable, name, value) {
    const file = this.variable(variable);
    if (!file) throw new Error(`\`${variable}\` is not set: this action runs in a job of GitHub Actions`);
    const end2 = `end_${randomBytes(16).toString("hex")}`;
    appendFileSync(file, `${name}<<${end2}
${value}
${end2}
`);
  }
};
function escaped(text) {
  return String(text).replaceAll("%", "%25").replaceAll("\r", "%0D").replaceAll("\n", "%0A");
}
function harmless(text) {
  return String(text).replaceAll("##[", "# #[").split(/\r\n|\r|\n/).map((line) => line.trimStart().startsWith("::") ? `. ${line}` : line).join("\n");
}

// action/src/index.mjs
var runner = new Runner(process.env, (text) => process.stdout.write(text));
if (runner.state("phase") === "end") {
  await end(runner);
} else {
  try {
    await obtain(runner);
  } catch (error) {
    process.exitCode = 1;
    if (error instanceof Refusal) error.tell(runner);
    else runner.error(error.message);
  }
}
