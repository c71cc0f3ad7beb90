"use strict";
// Draws the plots of the page from their descriptions in #plots. All text of a run goes into the page as text, never as
// markup, except in tooltips, which are built from escaped pieces.
(() => {
  const plots = JSON.parse(document.getElementById("plots").textContent);
  const DASHES = ["solid", [6, 4], [2, 3]];
  const FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif";

  // Numbers as people read them; the same rules as in the tables.
  const grouped = (n) => Math.round(n).toString().replace(/\B(?=(\d{3})+$)/g, ",");
  const significant = (v) => {
    const a = Math.abs(v);
    if (a >= 999.5) return (v < 0 ? "-" : "") + grouped(a);
    const decimals = a === 0 || a >= 99.95 ? 0 : a >= 9.995 ? 1 : a >= 0.9995 ? 2 : a >= 0.09995 ? 3 : 4;
    return v.toFixed(decimals);
  };
  const duration = (ns) => {
    for (const [unit, size] of [["h", 3600e9], ["min", 60e9], ["s", 1e9], ["ms", 1e6], ["µs", 1e3]]) {
      if (Math.abs(ns) >= (size >= 60e9 ? size * 10 : size)) return significant(ns / size) + " " + unit;
    }
    return ns.toFixed(0) + " ns";
  };
  const plain = (v) => String(Number(v.toPrecision(12)));
  const compact = (v) => {
    for (const [unit, size] of [["G", 1e9], ["M", 1e6], ["k", 1e3]]) {
      if (Math.abs(v) >= (size === 1e3 ? 1e4 : size)) return plain(v / size) + unit;
    }
    return Math.abs(v) >= 1e3 ? grouped(v) : plain(v);
  };
  const tickText = (axis, v) => {
    if (axis.quantity === "share") return plain(Number((v * 100).toPrecision(9))) + " %";
    if (axis.quantity !== "duration") return compact(v);
    for (const [unit, size] of [["d", 86400e9], ["h", 3600e9], ["min", 60e9], ["s", 1e9], ["ms", 1e6], ["µs", 1e3]]) {
      if (v >= size * 0.999) return compact(Number((v / size).toPrecision(6))) + " " + unit;
    }
    return plain(v) + " ns";
  };
  const valueText = (axis, v) => {
    if (axis.quantity === "share") return significant(v * 100) + " %";
    if (axis.quantity === "duration") return duration(v);
    return significant(v) + (axis.unit ? " " + axis.unit : "");
  };
  const escape = (text) => String(text).replace(/[&<>"']/g, (c) => "&#" + c.charCodeAt(0) + ";");

  // Positions on an axis: logarithmic ones are drawn as their logarithm.
  const place = (axis, v) => (axis.log ? Math.log10(v) : v);
  const back = (axis, p) => (axis.log ? 10 ** p : p);

  const linearTicks = (low, high, most) => {
    const rough = (high - low) / Math.max(most, 1);
    if (!(rough > 0)) return [low];
    const power = 10 ** Math.floor(Math.log10(rough));
    const step = [1, 2, 2.5, 5, 10].map((m) => m * power).find((s) => s >= rough * 0.999);
    const out = [];
    for (let i = Math.ceil(low / step - 1e-9); i * step <= high + step * 1e-9; i++) out.push(i * step);
    return out;
  };
  // The candidates of a logarithmic axis, from many to few.
  const decades = (low, high, multiples) => {
    const out = [];
    for (let d = Math.floor(low) - 1; d <= Math.ceil(high); d++) multiples.forEach((m) => out.push(d + Math.log10(m)));
    return out;
  };
  // Above a second, people count in minutes and hours.
  const times = (low, high, multiples, longer) =>
    decades(low, Math.min(high, 10), multiples).filter((p) => p < Math.log10(59.9e9))
      .concat(longer.map(([n, unit]) => Math.log10(n * unit)));
  const [MIN, HOUR, DAY] = [60e9, 3600e9, 86400e9];
  const of = (unit, ...counts) => counts.map((n) => [n, unit]);
  const logCandidates = (axis, low, high) => axis.quantity === "duration" ? [
    times(low, high, [1, 2, 5], [...of(MIN, 1, 2, 5, 10, 20, 30), ...of(HOUR, 1, 2, 5, 10), ...of(DAY, 1, 2, 5, 10)]),
    times(low, high, [1, 3], [...of(MIN, 1, 3, 10, 30), ...of(HOUR, 1, 3, 10), ...of(DAY, 1, 3, 10)]),
    times(low, high, [1], [...of(MIN, 1, 10), ...of(HOUR, 1, 10), ...of(DAY, 3)]),
    [3, 5, 6, 8, 9].concat([Math.log10(10e9), Math.log10(10 * MIN), Math.log10(3 * HOUR)]),
    [3, 6, 9, Math.log10(MIN), Math.log10(HOUR)],
  ] : [decades(low, high, [1, 2, 5]), decades(low, high, [1, 3]), decades(low, high, [1]), decades(low, high, [1]).filter((p) => Math.round(p) % 2 === 0)];
  const logTicks = (axis, low, high, most) => {
    let best = null;
    for (const candidates of logCandidates(axis, low, high)) {
      const found = candidates.filter((p) => p >= low - 1e-9 && p <= high + 1e-9);
      if (found.length < 2) break;
      best = found;
      if (found.length <= most) return found;
    }
    if (best) return best.filter((_, i) => i % Math.ceil(best.length / most) === 0);
    // Less than a step of any candidate: whatever divides it.
    return linearTicks(10 ** low, 10 ** high, Math.min(most, 4)).map(Math.log10);
  };
  const ticks = (axis, low, high, most) => (axis.log ? logTicks(axis, low, high, most) : linearTicks(low, high, most));

  // How wide a text is.
  const ruler = document.createElement("canvas").getContext("2d");
  const widthOf = (text, font) => {
    ruler.font = font;
    return ruler.measureText(text).width;
  };

  // The look of the page, which changes between light and dark.
  const look = () => {
    const style = getComputedStyle(document.documentElement);
    const of = (name) => style.getPropertyValue(name).trim();
    return {
      colours: [0, 1, 2, 3, 4, 5, 6, 7].map((c) => of("--c" + c)),
      text: of("--text"), faint: of("--faint"), line: of("--line"), paper: of("--card"),
      heat: [0, 1, 2, 3, 4].map((c) => of("--heat" + c)),
    };
  };
  const rgb = (hex) => [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16));
  const between = (stops, share) => {
    const at = Math.min(Math.max(share, 0), 1) * (stops.length - 1);
    const [a, b] = [stops[Math.floor(at)], stops[Math.ceil(at)]].map(rgb);
    return "rgb(" + a.map((v, i) => Math.round(v + (b[i] - v) * (at % 1))).join(",") + ")";
  };

  const xOf = (series, i) => (Array.isArray(series.x) ? series.x[i] : series.x.start + series.x.step * i);

  /** The ends of both axes, as positions. */
  function extents(plot, hidden) {
    if (plot.body.heat) {
      const heat = plot.body.heat;
      const end = Math.max(heat.start + heat.step * heat.columns, plot.x.max || 0);
      return { x: [Math.min(0, heat.start), end], y: [heat.edges[0], heat.edges[heat.edges.length - 1]].map((v) => place(plot.y, v)) };
    }
    const x = [Infinity, -Infinity], y = [Infinity, -Infinity];
    const take = (range, v) => {
      if (v < range[0]) range[0] = v;
      if (v > range[1]) range[1] = v;
    };
    const sums = [];
    plot.body.lines.series.forEach((series, s) => {
      series.y.forEach((v, i) => {
        if (v === null) return;
        take(x, place(plot.x, xOf(series, i)));
        if (hidden.has(s)) return;
        if (plot.body.lines.stacked) {
          sums[i] = (sums[i] || 0) + v;
          take(y, sums[i]);
        } else {
          take(y, place(plot.y, v));
          const high = series.high[i];
          if (high !== null && high !== undefined) take(y, place(plot.y, high));
        }
      });
    });
    plot.body.lines.marks.forEach((mark) => take(x, place(plot.x, mark.x)));
    if (plot.over_time) {
      x[0] = 0;
      if (plot.x.max !== null) x[1] = plot.x.max;
    }
    if (!plot.y.log) y[0] = 0;
    if (plot.y.max !== null) y[1] = plot.y.max;
    if (!(y[1] > y[0])) y[1] = y[0] + 1;
    if (!(x[1] > x[0])) [x[0], x[1]] = [x[0] - 0.5, x[0] + 0.5];
    // Some room above, up to the next tick.
    if (plot.y.max === null && !plot.y.log) {
      // Names of marks stand above a single curve, one below the other.
      const names = plot.body.lines.series.length > 1 ? 0 : plot.body.lines.marks.length;
      y[1] /= 1 - Math.min(names * 0.09, 0.5);
      const step = linearTicks(y[0], y[1], 6);
      const gap = step.length > 1 ? step[1] - step[0] : y[1];
      y[1] = Math.ceil(y[1] / gap - 1e-9) * gap;
    }
    if (plot.y.log) [y[0], y[1]] = [y[0] - 0.05, y[1] + 0.05];
    if (plot.x.log) [x[0], x[1]] = [x[0] - (x[1] - x[0]) * 0.02, x[1] + (x[1] - x[0]) * 0.02];
    return { x, y };
  }

  class Chart {
    constructor(figure, plot) {
      this.plot = plot;
      this.figure = figure;
      this.box = figure.querySelector(".drawing");
      this.hidden = new Set();
      this.zoom = null;
      const renderer = plot.body.heat ? "canvas" : "svg";
      this.legend();
      this.chart = echarts.init(this.box, null, { renderer });
      this.draw();
      new ResizeObserver(() => {
        const width = this.box.clientWidth;
        if (width > 0 && width !== this.chart.getWidth()) {
          this.chart.resize();
          this.draw();
        }
      }).observe(this.box);
      this.drag();
      const save = figure.querySelector("figcaption").appendChild(document.createElement("button"));
      save.type = "button";
      save.className = "save";
      save.textContent = plot.body.heat ? "Save PNG" : "Save SVG";
      save.addEventListener("click", () => this.save());
    }

    /** Hands the drawing over as a file: lines as SVG, a heat map as PNG. */
    save() {
      const link = document.createElement("a");
      if (this.plot.body.heat) {
        link.href = this.chart.getDataURL({ pixelRatio: 3, backgroundColor: look().paper });
        link.download = this.plot.id + ".png";
        link.click();
        return;
      }
      const svg = this.box.querySelector("svg").cloneNode(true);
      svg.setAttribute("xmlns", "http://www.w3.org/2000/svg");
      link.href = URL.createObjectURL(new Blob([new XMLSerializer().serializeToString(svg)], { type: "image/svg+xml" }));
      link.download = this.plot.id + ".svg";
      link.click();
      setTimeout(() => URL.revokeObjectURL(link.href), 10000);
    }

    legend() {
      const lines = this.plot.body.lines;
      const legend = document.createElement("div");
      legend.className = "legend";
      if (!lines) {
        const most = Math.max(...this.plot.body.heat.cells.map((cell) => cell[2]));
        const [first, ramp, last] = ["span", "i", "span"].map((tag) => legend.appendChild(document.createElement(tag)));
        ramp.className = "ramp";
        first.textContent = "1";
        last.textContent = grouped(most) + " " + this.plot.body.heat.counted;
        this.box.before(legend);
        return;
      }
      if (!lines.named) return;
      lines.series.forEach((series, at) => {
        const button = legend.appendChild(document.createElement("button"));
        button.type = "button";
        button.className = "entry" + (series.filled ? " area" : "") + " dash" + series.dash;
        button.style.setProperty("--colour", "var(--c" + (series.colour % 8) + ")");
        button.setAttribute("aria-pressed", "true");
        button.appendChild(document.createElement("i"));
        button.append(series.name);
        button.addEventListener("click", () => {
          if (!this.hidden.delete(at)) this.hidden.add(at);
          button.setAttribute("aria-pressed", String(!this.hidden.has(at)));
          this.draw();
        });
      });
      this.box.before(legend);
    }

    /** Dragging selects a part of the horizontal axis; plots over time follow each other. */
    drag() {
      const band = document.createElement("div");
      band.className = "selection";
      this.box.appendChild(band);
      let from = null;
      const inside = (event) => {
        const box = this.box.getBoundingClientRect();
        const [left, right] = this.span();
        return Math.min(Math.max(event.clientX - box.left, left), right);
      };
      const show = (to) => {
        band.style.left = Math.min(from, to) + "px";
        band.style.width = Math.abs(to - from) + "px";
      };
      const move = (event) => show(inside(event));
      const up = (event) => {
        removeEventListener("pointermove", move);
        removeEventListener("pointerup", up);
        const to = inside(event);
        band.style.width = "0";
        if (Math.abs(to - from) > 6) {
          const ends = [Math.min(from, to), Math.max(from, to)].map((px) => this.chart.convertFromPixel({ xAxisIndex: 0 }, px));
          this.zoomTo(ends);
        }
        from = null;
      };
      this.box.addEventListener("pointerdown", (event) => {
        if (event.pointerType !== "mouse" || event.button !== 0) return;
        event.preventDefault();
        from = inside(event);
        addEventListener("pointermove", move);
        addEventListener("pointerup", up);
      });
      this.box.addEventListener("dblclick", () => this.zoomTo(null));
    }

    zoomTo(ends) {
      const which = this.plot.over_time ? charts.filter((chart) => chart.plot.over_time) : [this];
      which.forEach((chart) => {
        chart.zoom = ends;
        chart.draw();
      });
    }

    /** Where the plot's area begins and ends, in pixels. */
    span() {
      return (this.zoom || extents(this.plot, this.hidden).x).map((v) => this.chart.convertToPixel({ xAxisIndex: 0 }, v));
    }

    axis(axis, [low, high], vertical, colours) {
      const length = vertical ? this.box.clientHeight : this.box.clientWidth;
      const most = vertical ? Math.max(2, Math.floor(length / 48)) : Math.max(2, Math.floor(length / (axis.log ? 64 : 80)));
      const customValues = ticks(axis, low, high, most);
      const title = axis.name + (axis.unit ? " (" + axis.unit + (axis.log ? ", log)" : ")") : axis.log ? " (log)" : "");
      return {
        type: "value", min: low, max: high, name: title,
        nameLocation: vertical ? "end" : "middle", nameGap: vertical ? 10 : 8,
        nameTextStyle: { color: colours.faint, fontFamily: FONT, fontSize: 11, align: vertical ? "left" : "center" },
        axisLine: { show: !vertical, onZero: false, lineStyle: { color: colours.line } },
        axisTick: { show: !vertical, customValues, lineStyle: { color: colours.line } },
        axisLabel: {
          customValues, hideOverlap: true, color: colours.faint, fontFamily: FONT, fontSize: 11,
          formatter: (p) => tickText(axis, Number(back(axis, p).toPrecision(9))),
        },
        splitLine: { show: true, lineStyle: { color: colours.line, opacity: vertical ? 0.8 : 0.4 } },
        axisPointer: { label: { show: false }, lineStyle: { color: colours.faint, type: "solid", width: 1 } },
      };
    }

    draw() {
      const colours = look();
      const all = extents(this.plot, this.hidden);
      const x = this.zoom || all.x;
      const option = {
        animation: false,
        textStyle: { fontFamily: FONT },
        grid: { left: 4, right: 14, top: 26, bottom: 2, outerBoundsMode: "same", outerBoundsContain: "all" },
        xAxis: this.axis(this.plot.x, x, false, colours),
        yAxis: this.axis(this.plot.y, all.y, true, colours),
        tooltip: {
          trigger: this.plot.body.heat ? "item" : "axis", confine: true, transitionDuration: 0,
          backgroundColor: colours.paper, borderColor: colours.line, padding: [6, 10],
          textStyle: { color: colours.text, fontFamily: FONT, fontSize: 12 },
          formatter: (params) => this.tooltip(params),
        },
        series: this.plot.body.heat ? [this.heat(colours)] : this.lines(colours),
      };
      this.chart.setOption(option, true);
    }

    lines(colours) {
      const { series, stacked, marks } = this.plot.body.lines;
      const out = [];
      series.forEach((one, at) => {
        if (this.hidden.has(at)) return;
        const colour = colours.colours[one.colour % 8];
        if (one.high.length) out.push(this.band(one, colour));
        out.push({
          type: "line", id: "line" + at, name: String(at), showSymbol: one.y.length === 1, symbolSize: 5, clip: true,
          stack: stacked ? "all" : undefined, stackStrategy: "all", step: one.shape === "step" ? "end" : undefined,
          data: one.y.map((v, i) => [place(this.plot.x, xOf(one, i)), v === null ? null : place(this.plot.y, v)]),
          lineStyle: { color: colour, width: stacked ? 1 : 1.6, type: DASHES[one.dash], join: "round" },
          itemStyle: { color: colour },
          areaStyle: one.filled ? { color: colour, opacity: stacked ? (one.colour === 7 ? 0.22 : 0.72) : 0.18 } : undefined,
          emphasis: { disabled: true },
        });
      });
      if (marks.length) out.push(this.marks(marks, colours, series.length > 1));
      if (marks.length && series.length < 2) out.push(this.labels(marks, colours));
      return out;
    }

    /** From the lowest to the highest, behind a curve. */
    band(one, colour) {
      const runs = [];
      let run = null;
      one.low.forEach((low, i) => {
        const high = one.high[i];
        if (low === null || high === null) {
          run = null;
          return;
        }
        if (!run) runs.push((run = []));
        const x = place(this.plot.x, xOf(one, i));
        const point = [x, place(this.plot.y, low), place(this.plot.y, high)];
        const before = run[run.length - 1];
        if (before && one.shape === "step") run.push([x, before[1], before[2]]);
        run.push(point);
      });
      return {
        type: "custom", silent: true, clip: true, tooltip: { show: false }, z: 1,
        data: runs.map((run, i) => [run[0][0], i]), encode: { x: 0, y: -1 },
        renderItem: (params, api) => {
          const run = runs[params.dataIndex];
          const up = run.map(([x, , high]) => api.coord([x, high]));
          const down = run.map(([x, low]) => api.coord([x, low])).reverse();
          return { type: "polygon", shape: { points: up.concat(down) }, style: { fill: colour, opacity: 0.18 } };
        },
      };
    }

    marks(marks, colours, several) {
      return {
        type: "custom", silent: true, clip: true, tooltip: { show: false }, z: 5,
        data: marks.map((mark) => [place(this.plot.x, mark.x)]), encode: { x: 0, y: -1 },
        renderItem: (params, api) => {
          const area = params.coordSys;
          const x = api.coord([place(this.plot.x, marks[params.dataIndex].x), 0])[0];
          return {
            type: "line", shape: { x1: x, x2: x, y1: area.y, y2: area.y + area.height },
            style: {
              stroke: several ? colours.colours[marks[params.dataIndex].colour % 8] : colours.text,
              lineWidth: 1, lineDash: [3, 3], opacity: 0.75,
            },
          };
        },
      };
    }

    /** What is marked, one below the other, so that close marks don't hide each other's names. */
    labels(marks, colours) {
      const font = "600 11px " + FONT;
      return {
        type: "custom", silent: true, clip: false, tooltip: { show: false }, z: 6,
        data: marks.map((mark) => [place(this.plot.x, mark.x)]), encode: { x: 0, y: -1 },
        renderItem: (params, api) => {
          const mark = marks[params.dataIndex];
          const area = params.coordSys;
          const x = api.coord([place(this.plot.x, mark.x), 0])[0];
          if (x < area.x - 1 || x > area.x + area.width + 1) return null;
          const width = widthOf(mark.label, font);
          const toLeft = x + 5 + width > area.x + area.width;
          const left = Math.max(area.x, toLeft ? x - 5 - width : x + 5);
          return {
            type: "text", x: left, y: area.y + 2 + params.dataIndex * 15,
            style: { text: mark.label, fill: colours.text, font, stroke: colours.paper, lineWidth: 3 },
          };
        },
      };
    }

    heat(colours) {
      const { start, step, edges, cells } = this.plot.body.heat;
      const most = Math.log(Math.max(2, ...cells.map((cell) => cell[2])));
      const logs = edges.map((edge) => place(this.plot.y, edge));
      return {
        type: "custom", clip: true, data: cells.map(([column, row, count]) => [start + column * step, logs[row], count]),
        encode: { x: 0, y: 1 }, progressive: 0,
        renderItem: (params, api) => {
          const [column, row, count] = cells[params.dataIndex];
          const a = api.coord([start + column * step, logs[row]]);
          const b = api.coord([start + (column + 1) * step, logs[row + 1]]);
          const shape = { x: a[0], y: b[1], width: Math.max(b[0] - a[0], 0.5) + 0.3, height: a[1] - b[1] + 0.3 };
          return { type: "rect", shape, style: { fill: between(colours.heat, Math.log(count) / most) } };
        },
      };
    }

    tooltip(params) {
      const { x, y, body } = this.plot;
      if (body.heat) {
        const [column, row, count] = body.heat.cells[params.dataIndex];
        const from = body.heat.start + column * body.heat.step;
        const span = significant(Math.max(from, 0)) + " to " + significant(from + body.heat.step) + " " + x.unit;
        const values = [body.heat.edges[row], body.heat.edges[row + 1]].map((v) => duration(v)).join(" to ");
        return escape(span) + "<br>" + escape(values) + "<br><b>" + escape(grouped(count) + " " + body.heat.counted) + "</b>";
      }
      const shown = params.filter((one) => one.seriesType === "line");
      if (!shown.length) return "";
      const rows = shown.map((one) => {
        const series = body.lines.series[Number(one.seriesName)];
        const value = series.y[one.dataIndex];
        if (value === null || value === undefined) return "";
        const [low, high] = [series.low[one.dataIndex], series.high[one.dataIndex]];
        const known = low !== undefined && low !== null && high !== undefined && high !== null && low !== high;
        const range = known ? " <small>(" + escape(valueText(y, low) + " to " + valueText(y, high)) + ")</small>" : "";
        const dot = '<i class="dot" style="background:var(--c' + (series.colour % 8) + ')"></i>';
        return "<div>" + dot + escape(series.name) + " <b>" + escape(valueText(y, value)) + "</b>" + range + "</div>";
      });
      const series = body.lines.series[Number(shown[0].seriesName)];
      const at = valueText(x, xOf(series, shown[0].dataIndex));
      return "<div>" + escape(x.name) + " <b>" + escape(at) + "</b></div>" + rows.join("");
    }
  }

  const charts = plots.flatMap((plot) => {
    const figure = [...document.querySelectorAll("figure[data-plot]")].find((one) => one.dataset.plot === plot.id);
    return figure ? [new Chart(figure, plot)] : [];
  });
  const redraw = () => charts.forEach((chart) => chart.draw());

  // Light and dark: what was chosen, else what the system says.
  const root = document.documentElement;
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const isDark = () => (root.dataset.theme ? root.dataset.theme === "dark" : dark.matches);
  document.getElementById("theme").addEventListener("click", () => {
    root.dataset.theme = isDark() ? "light" : "dark";
    redraw();
  });
  dark.addEventListener("change", redraw);

  // Paper is white, and shows what is folded.
  let before = null;
  addEventListener("beforeprint", () => {
    before = { theme: root.dataset.theme, closed: [...document.querySelectorAll("details:not([open])")] };
    root.dataset.theme = "light";
    redraw();
  });
  addEventListener("afterprint", () => {
    if (!before) return;
    if (before.theme) root.dataset.theme = before.theme;
    else delete root.dataset.theme;
    before = null;
    redraw();
  });
  root.dataset.drawn = String(charts.length);
})();
