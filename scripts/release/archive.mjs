// A tar archive whose bytes depend on its files alone: sorted, without owner, with one time for everything (POSIX ustar).

import { gzipSync } from 'node:zlib';

const BLOCK = 512;

/** `files` is `{path: Buffer}`, `seconds` the time of each since 1970. */
export function archive(files, seconds) {
  const blocks = [];
  for (const path of Object.keys(files).sort()) {
    const content = files[path];
    blocks.push(header(path, content.length, seconds), content, Buffer.alloc((BLOCK - (content.length % BLOCK)) % BLOCK));
  }
  blocks.push(Buffer.alloc(2 * BLOCK));
  const gzipped = gzipSync(Buffer.concat(blocks), { level: 9 });
  // The operating system, which zlib writes there; 255 is "unknown" (RFC 1952).
  gzipped[9] = 255;
  return gzipped;
}

function header(path, size, seconds) {
  const name = Buffer.from(path);
  if (name.length > 100) throw new Error(`\`${path}\` is too long for this form of archive`);
  const block = Buffer.alloc(BLOCK);
  const octal = (value, width) => `${value.toString(8).padStart(width - 1, '0')}\0`;
  name.copy(block, 0);
  block.write(octal(0o644, 8), 100);
  block.write(octal(0, 8), 108);
  block.write(octal(0, 8), 116);
  block.write(octal(size, 12), 124);
  block.write(octal(seconds, 12), 136);
  block.write('        ', 148);
  block.write('0', 156);
  block.write('ustar\0' + '00', 257);
  const sum = block.reduce((total, byte) => total + byte, 0);
  block.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148);
  return block;
}
