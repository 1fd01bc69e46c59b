// The checker of inside.py, for programs in JavaScript.
import fs from 'node:fs';
import path from 'node:path';

export class Inside {
  constructor(folder) {
    this.mark = path.join(folder, 'inside');
    this.counter = path.join(folder, 'counter');
    this.overlaps = 0;
  }

  async once() {
    let mine = true;
    try {
      fs.closeSync(fs.openSync(this.mark, 'wx'));
    } catch (error) {
      if (error.code !== 'EEXIST') throw error;
      this.overlaps += 1;
      mine = false;
    }
    const count = fs.existsSync(this.counter) ? Number(fs.readFileSync(this.counter, 'utf8')) : 0;
    await new Promise((resolve) => setTimeout(resolve, 1));
    fs.writeFileSync(this.counter, String(count + 1));
    if (mine) fs.unlinkSync(this.mark);
  }
}
