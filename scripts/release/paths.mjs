// Paths of the machine in what it built.

/** Texts in `bytes` that begin with one of the folders; `/` and nothing are no folders that say anything. */
export function machinePaths(bytes, folders) {
  const found = new Set();
  for (const folder of new Set(folders.filter((name) => name && name.length > 2))) {
    for (const form of new Set([folder, folder.replaceAll('\\', '/')])) {
      const needle = Buffer.from(form);
      for (let at = bytes.indexOf(needle); at !== -1; at = bytes.indexOf(needle, at + 1)) {
        // What goes on otherwise is another folder: `/root` is not in `/rootless`.
        if (!/[\\/]/.test(String.fromCharCode(bytes[at + needle.length] ?? 0))) continue;
        found.add(/^[\x20-\x7e]*/.exec(bytes.subarray(at, at + 200).toString('latin1'))[0]);
      }
    }
  }
  return [...found];
}
