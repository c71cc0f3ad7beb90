// Opens reports in Chromium, wide and narrow, light and dark, on paper, and checks what a person would see.
//
//   node check.js CHROMIUM OUT REPORT…      screenshots and PDFs go to OUT
import { mkdirSync } from "node:fs";
import path from "node:path";
import { pathToFileURL } from "node:url";
import puppeteer from "puppeteer-core";

const [chromium, out, ...reports] = process.argv.slice(2);
const WIDTHS = [1400, 400];
const SCHEMES = ["light", "dark"];
let failed = 0;
let passed = 0;

const check = (what, problems) => {
  if (problems.length === 0) {
    passed += 1;
    return;
  }
  failed += 1;
  console.log(`FAILED ${what}: ${problems.length} problems`);
  problems.slice(0, 12).forEach((problem) => console.log(`    ${problem}`));
};

/** Runs in the page: what is drawn in each plot. */
function drawn() {
  const problems = [];
  const plots = JSON.parse(document.getElementById("plots").textContent);
  const figures = [...document.querySelectorAll("figure[data-plot]")];
  if (figures.length !== plots.length) problems.push(`${plots.length} plots and ${figures.length} figures`);
  if (plots.length === 0) problems.push("no plot at all");
  if (Number(document.documentElement.dataset.drawn) !== plots.length) problems.push("the script did not run to its end");
  for (const plot of plots) {
    const figure = document.querySelector(`#plot-${CSS.escape(plot.id)}`);
    const chart = echarts.getInstanceByDom(figure.querySelector(".drawing"));
    const list = chart.getZr().storage.getDisplayList();
    const texts = list.filter((element) => element.style && element.style.text).map((element) => String(element.style.text));
    // At least one shape for each series that has a value, beside axes and grid.
    const shapes = list.filter((element) => ["ec-polyline", "ec-polygon", "rect", "polygon", "circle"].includes(element.type)
      && element.z2 !== undefined && element.style && (element.style.fill || element.style.stroke));
    if (shapes.length === 0) problems.push(`${plot.id}: nothing is drawn`);
    const canvas = figure.querySelector("canvas");
    if (plot.body.heat) {
      const pixels = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
      let inked = 0;
      for (let i = 3; i < pixels.length; i += 4) inked += pixels[i] > 0 ? 1 : 0;
      if (inked < 500) problems.push(`${plot.id}: the canvas is empty`);
    } else if (figure.querySelectorAll("svg path").length < 3) {
      problems.push(`${plot.id}: the drawing is empty`);
    }
    for (const [side, axis] of [["x", plot.x], ["y", plot.y]]) {
      if (!texts.some((text) => text.startsWith(axis.name))) problems.push(`${plot.id}: its ${side} axis has no name`);
      const carried = axis.quantity === "share" ? / %$/ : / (ns|µs|ms|s|min|h|d)$/;
      const has = axis.quantity === "number" ? axis.unit !== "" && texts.some((text) => text.includes(`(${axis.unit}`))
        : texts.some((text) => carried.test(text));
      if (!has) problems.push(`${plot.id}: its ${side} axis has no unit`);
    }
  }
  return problems;
}

/** Runs in the page: text in plots that overlaps or is cut off. */
function crowded() {
  const problems = [];
  for (const figure of document.querySelectorAll("figure[data-plot]")) {
    const box = figure.querySelector(".drawing");
    const chart = echarts.getInstanceByDom(box);
    const texts = chart.getZr().storage.getDisplayList().filter((element) => element.style && element.style.text && !element.ignore && !element.invisible);
    const rects = texts.map((element) => {
      const rect = element.getBoundingRect().clone();
      if (element.transform) rect.applyTransform(element.transform);
      return { text: element.style.text, left: rect.x, right: rect.x + rect.width, top: rect.y, bottom: rect.y + rect.height };
    });
    const [width, height] = [chart.getWidth(), chart.getHeight()];
    rects.forEach((a, at) => {
      if (a.left < -1 || a.top < -1 || a.right > width + 1 || a.bottom > height + 1) {
        problems.push(`${figure.dataset.plot}: “${a.text}” is cut off`);
      }
      rects.slice(at + 1).forEach((b) => {
        const wide = Math.min(a.right, b.right) - Math.max(a.left, b.left);
        const high = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
        if (wide > 1 && high > 2) problems.push(`${figure.dataset.plot}: “${a.text}” and “${b.text}” overlap`);
      });
    });
  }
  return problems;
}

/** Runs in the page: boxes that overlap or stick out. */
function laidOut() {
  const problems = [];
  const page = document.documentElement;
  if (page.scrollWidth > page.clientWidth) problems.push(`the page is ${page.scrollWidth} px wide in a window of ${page.clientWidth}`);
  const boxes = [...document.querySelectorAll("h1, h2, h3, h4, p, .tile, .warning, .plot, .scroll, .legend, .attributes, nav, footer, li, summary")]
    .filter((element) => element.checkVisibility());
  const rects = boxes.map((element) => ({ element, ...element.getBoundingClientRect().toJSON() }));
  const name = ({ element }) => `${element.tagName.toLowerCase()}.${element.className} “${element.textContent.trim().slice(0, 30)}”`;
  rects.forEach((a, at) => {
    const scrolls = a.element.closest(".scroll") && !a.element.matches(".scroll");
    if (!scrolls && (a.left < -1 || a.right > page.clientWidth + 1)) problems.push(`${name(a)} sticks out`);
    for (const b of rects.slice(at + 1)) {
      if (a.element.contains(b.element) || b.element.contains(a.element)) continue;
      const wide = Math.min(a.right, b.right) - Math.max(a.left, b.left);
      const high = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
      if (wide > 1 && high > 1) problems.push(`${name(a)} and ${name(b)} overlap`);
    }
  });
  for (const element of document.querySelectorAll(".tile, .tile b, .warning, .entry, .plot h3, .attributes dd")) {
    if (element.scrollWidth > element.clientWidth + 1) problems.push(`text of ${element.className || element.tagName} is cut off: ${element.textContent.trim()}`);
  }
  return problems;
}

/** Hovers, zooms, hides a curve, switches the theme. */
async function interacts(page) {
  const problems = [];
  const figure = await page.$("figure[data-plot]");
  const box = await (await figure.$(".drawing")).boundingBox();
  const [middle, line] = [box.x + box.width / 2, box.y + box.height / 2];
  await page.evaluate((top) => scrollTo(0, top), Math.max(0, box.y - 200));
  const moved = await (await figure.$(".drawing")).boundingBox();
  const y = line - box.y + moved.y;
  await page.mouse.move(middle, y);
  await new Promise((done) => setTimeout(done, 300));
  const tooltip = await figure.$eval(".drawing", (element) => element.innerText);
  if (!/time since start/.test(tooltip)) problems.push(`no tooltip, but: ${tooltip}`);
  const ends = () => page.evaluate(() => [...document.querySelectorAll("figure[data-plot]")].slice(0, 2).map((one) =>
    echarts.getInstanceByDom(one.querySelector(".drawing")).getOption().xAxis[0].max));
  const before = await ends();
  await page.mouse.down();
  await page.mouse.move(middle + 80, y, { steps: 4 });
  await page.mouse.up();
  const zoomed = await ends();
  if (!zoomed.every((end, at) => end < before[at])) problems.push(`dragging does not zoom: ${before} became ${zoomed}`);
  await page.mouse.click(middle, y, { count: 2 });
  if (String(await ends()) !== String(before)) problems.push("a double click does not zoom out");
  const entry = await page.$(".entry");
  if (entry) {
    const count = () => page.$eval("figure:has(.entry) .drawing", (element) => element.querySelectorAll("svg path").length);
    const all = await count();
    await entry.click();
    if ((await count()) >= all) problems.push("a click on the legend hides nothing");
    await entry.click();
  }
  const saved = await page.evaluate(() => {
    const files = [];
    const click = HTMLAnchorElement.prototype.click;
    HTMLAnchorElement.prototype.click = function () {
      files.push(`${this.download} ${this.href.slice(0, 5)}`);
    };
    document.querySelectorAll(".save").forEach((button) => button.click());
    HTMLAnchorElement.prototype.click = click;
    return files.filter((file) => /\.svg blob:$|\.png data:$/.test(file)).length;
  });
  const plots = await page.evaluate(() => document.querySelectorAll("figure[data-plot]").length);
  if (saved !== plots) problems.push(`${saved} of ${plots} plots can be saved`);
  const colour = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
  const first = await colour();
  await page.click("#theme");
  if ((await colour()) === first) problems.push("the theme does not change");
  await page.click("#theme");
  return problems;
}

async function look(browser, report) {
  const name = path.basename(report, ".html");
  const page = await browser.newPage();
  const noise = [];
  page.on("console", (message) => ["error", "warning", "warn"].includes(message.type()) && noise.push(message.text()));
  page.on("pageerror", (error) => noise.push(String(error)));
  page.on("dialog", (dialog) => {
    noise.push(`a dialog: ${dialog.message()}`);
    dialog.dismiss();
  });
  page.on("request", (request) => !/^(file|data|blob):/.test(request.url()) && noise.push(`it loads ${request.url()}`));
  for (const width of WIDTHS) {
    for (const scheme of SCHEMES) {
      await page.setViewport({ width, height: 900 });
      await page.emulateMediaFeatures([{ name: "prefers-color-scheme", value: scheme }]);
      await page.goto(pathToFileURL(path.resolve(report)).href, { waitUntil: "load" });
      await page.evaluate(() => new Promise((done) => requestAnimationFrame(() => setTimeout(done, 100))));
      const at = `${name} at ${width} px, ${scheme}`;
      check(`${at}: plots`, await page.evaluate(drawn));
      check(`${at}: text in plots`, await page.evaluate(crowded));
      check(`${at}: layout`, await page.evaluate(laidOut));
      await page.screenshot({ path: path.join(out, `${name}-${width}-${scheme}.png`), fullPage: true });
      if (width === WIDTHS[0]) check(`${at}: interaction`, await interacts(page));
    }
  }
  const pdf = await page.pdf({ path: path.join(out, `${name}.pdf`), format: "A4", printBackground: true });
  const pages = (Buffer.from(pdf).toString("latin1").match(/\/Type\s*\/Page\b/g) || []).length;
  check(`${name} on paper`, pages > 0 && pages < 60 ? [] : [`${pages} pages`]);
  check(`${name}: console`, noise);
  await page.close();
}

mkdirSync(out, { recursive: true });
const browser = await puppeteer.launch({ executablePath: chromium, headless: true, args: ["--no-sandbox", "--force-color-profile=srgb"] });
for (const report of reports) await look(browser, report);
await browser.close();
console.log(`test result: ${failed ? "FAILED" : "ok"}. ${passed} passed; ${failed} failed; 0 ignored`);
process.exitCode = failed ? 1 : 0;
