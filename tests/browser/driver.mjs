// Drives a browser for browser.py: driver.mjs <executable of the browser>
// Each line on stdin is a request {"do": name, ...}; each line on stdout is its answer {"value": ...} or {"error": text}.
import { createRequire } from 'node:module';
import { createInterface } from 'node:readline';

const require = createRequire(process.env.PINFOLD_NODE_MODULES + '/');
const { chromium } = require('playwright-core');
const browser = await chromium.launch({ executablePath: process.argv[2], args: ['--force-prefers-reduced-motion=0'] });
const patience = 30_000;

let context;
let page;
let said = []; // errors on the console, of scripts, and of the content security policy
let asked = []; // all addresses that the page has asked for

const actions = {
  // A page of its own, with nothing remembered.
  async open({ url, options }) {
    await context?.close();
    said = [];
    asked = [];
    context = await browser.newContext(options);
    context.setDefaultTimeout(patience);
    page = await context.newPage();
    page.on('console', (message) => ['error', 'warning'].includes(message.type()) && said.push(message.text()));
    page.on('pageerror', (error) => said.push(String(error)));
    page.on('request', (request) => asked.push(request.url()));
    page.on('dialog', (dialog) => (said.push(`dialog: ${dialog.message()}`), dialog.dismiss()));
    await page.goto(url);
  },
  // Answers requests for a path in the server's place.
  answer: ({ path, body }) => page.route(`**/${path}`, (route) => route.fulfill({ contentType: 'application/json', body })),
  evaluate: ({ script }) => page.evaluate(script),
  // Not waitForFunction(), which evaluates text inside the page: its content security policy forbids that.
  async until({ script }) {
    const end = Date.now() + patience;
    // While the page is loaded anew there is nothing to evaluate in.
    while (!(await page.evaluate(script).catch(() => false))) {
      if (Date.now() > end) throw new Error(`not within ${patience} ms`);
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  },
  press: ({ key }) => page.keyboard.press(key),
  type: ({ text }) => page.keyboard.type(text),
  shot: async ({ path, height }) => {
    const { width } = page.viewportSize();
    const { height: whole } = await page.evaluate('({ height: document.documentElement.scrollHeight })');
    await page.screenshot({ path, fullPage: true, clip: { x: 0, y: 0, width, height: Math.min(height ?? whole, whole) } });
  },
  said: () => said.splice(0),
  asked: () => asked.splice(0),
};

for await (const line of createInterface({ input: process.stdin })) {
  let answer;
  try {
    const { do: name, ...rest } = JSON.parse(line);
    answer = { value: (await actions[name](rest)) ?? null };
  } catch (error) {
    answer = { error: String(error.message ?? error) };
  }
  process.stdout.write(JSON.stringify(answer) + '\n');
}
await browser.close();
