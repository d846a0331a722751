// Makes git use the token, for the repositories that it covers and no others. The step writes its own settings file, which the
// user's settings include, and a file for `git credential-store`. The end of the job removes both. If that step never
// runs, git ignores the include of a missing file.

import { execFile } from 'node:child_process';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);

export async function configureGit(runner, { scope, github }, repositories, token) {
  // The runner empties this folder at the start and the end of a job.
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
    // The empty value clears the helpers configured before, such as a keychain.
    '\thelper =',
    `\thelper = "${quoted(helper)}"`,
    '\tuseHttpPath = false',
    `[http "${quoted(address)}"]`,
    // Otherwise git would send the credentials of actions/checkout.
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

/** The URLs of the repositories that the token covers, with and without `.git`. */
function addresses(web, scope, repositories) {
  const [owner, repository] = scope.split('/');
  if (repository === undefined && !Array.isArray(repositories)) return [`${web}/${owner}`];
  const names = repository === undefined ? repositories : [repository];
  return names.flatMap((name) => [`${web}/${owner}/${name}`, `${web}/${owner}/${name}.git`]);
}

/** Escapes text for double quotes in git's settings. */
function quoted(text) {
  if (/[\n\0]/.test(text)) throw new Error('a line end in a name');
  return text.replaceAll('\\', '\\\\').replaceAll('"', '\\"');
}
