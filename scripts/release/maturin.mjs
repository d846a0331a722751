// maturin, which builds the wheel: the release that the tests of the wheel use, in a folder that git ignores.

import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

/** `{program, python, version}`. Installed where it is not there yet; throws where it cannot be. */
export function maturin({ root, folder }) {
  const version = /^maturin==(.+)$/m.exec(readFileSync(join(root, folder, 'requirements-test.txt'), 'utf8'))[1];
  const out = (command, args) => execFileSync(command, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).trim();
  const place = join(root, '.tools/release-python');
  const within = (name) => (process.platform === 'win32' ? join(place, 'Scripts', `${name}.exe`) : join(place, 'bin', name));
  const found = { program: within('maturin'), python: within('python'), version };
  const isThere = () => existsSync(found.program) && out(found.program, ['--version']) === `maturin ${version}`;
  if (isThere()) return found;
  try {
    mkdirSync(join(root, '.tools'), { recursive: true });
    out(process.platform === 'win32' ? 'python' : 'python3', ['-m', 'venv', '--clear', place]);
    out(found.python, ['-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', `maturin==${version}`]);
  } catch (error) {
    throw new Error(`maturin ${version} cannot be installed, which builds the wheel (Python 3.9 or newer with venv is needed): ${error.message.split('\n')[0]}`);
  }
  if (!isThere()) throw new Error(`maturin ${version} was installed and does not run`);
  return found;
}
