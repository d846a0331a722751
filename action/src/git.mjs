// git with the token, for the repositories that it covers and no others: a settings file of this step's own, included by the
// user's settings, and beside it what `git credential-store` reads. The end of the job takes both away; where it never
// comes, git ignores an include that is not there.

import { execFile } from 'node:child_process';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);

export async function configureGit(runner, { scope, github }, repositories, token) {
  // The runner empties its folder at both ends of a job.
  const folder = mkdtempSync(join(runner.variable('RUNNER_TEMP') ?? tmpdir(), 'octo-sts-'));
  runner.save('git', folder);
  const store = join(folder, 'credentials').replaceAll('\\', '/');
  const settings = join(folder, 'gitconfig').replaceAll('\\', '/');
  const { protocol, host } = new URL(github.web);
  writeFileSync(store, `${protocol}//x-access-token:${encodeURIComponent(token)}@${host}\n`, { mode: 0o600 });
  chmodSync(folder, 0o700);
  const helper = `store --file='${store.replaceAll("'", `'\\''`)}'`;
  const sections = addresses(github.web, scope, repositories).flatMap((address) => [
    `[credential "${quoted(address)}"]`,
    // The empty value forgets the helpers that were there before, a keychain for example.
    '\thelper =',
    `\thelper = "${quoted(helper)}"`,
    '\tuseHttpPath = false',
    `[http "${quoted(address)}"]`,
    // What actions/checkout left would be sent instead.
    '\textraheader =',
  ]);
  writeFileSync(settings, `${sections.join('\n')}\n`, { mode: 0o600 });
  await run('git', ['config', '--global', '--add', 'include.path', settings]);
}

export async function forgetGit(runner) {
  const folder = runner.state('git');
  if (!folder) return;
  rmSync(folder, { recursive: true, force: true });
  const settings = join(folder, 'gitconfig').replaceAll('\\', '/');
  await run('git', ['config', '--global', '--fixed-value', '--unset-all', 'include.path', settings]);
}

/** The addresses under which git knows what the token covers, with and without `.git`. */
function addresses(web, scope, repositories) {
  const [owner, repository] = scope.split('/');
  if (repository === undefined && !Array.isArray(repositories)) return [`${web}/${owner}`];
  const names = repository === undefined ? repositories : [repository];
  return names.flatMap((name) => [`${web}/${owner}/${name}`, `${web}/${owner}/${name}.git`]);
}

/** Inside of double quotes in git's settings. */
function quoted(text) {
  if (/[\n\0]/.test(text)) throw new Error('a line end in a name');
  return text.replaceAll('\\', '\\\\').replaceAll('"', '\\"');
}
