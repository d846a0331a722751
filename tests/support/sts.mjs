// The `sts` command, as the Rust tests have built it; built here where they have not run.

import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));

/** Its path. */
export function sts() {
  const path = `${ROOT}target/debug/sts${process.platform === 'win32' ? '.exe' : ''}`;
  if (!existsSync(path)) execFileSync('cargo', ['build', '--quiet', '--locked', '--package', 'octo-sts-cli'], { cwd: ROOT, stdio: 'inherit' });
  return path;
}
