// The one place that draws with Chart.js: stacked bars, and a line over them. It is loaded when a
// chart is first shown, sets no styles that the CSP would refuse, and moves nothing by itself.
import {
  BarController,
  BarElement,
  CategoryScale,
  Chart,
  type ChartConfiguration,
  type ChartDataset,
  LinearScale,
  LineController,
  LineElement,
  PointElement,
  Tooltip,
} from "chart.js";
import type { Series } from "./series";

Chart.register(
  BarController,
  BarElement,
  CategoryScale,
  LinearScale,
  LineController,
  LineElement,
  PointElement,
  Tooltip,
);

export interface Drawn {
  update(labels: string[], series: Series[]): void;
  destroy(): void;
}

type Mixed = ChartDataset<"bar" | "line", number[]>;

/** Colours are the page's own, so that they follow light and dark. */
function coloursOf(canvas: HTMLCanvasElement): (name: string) => string {
  const style = getComputedStyle(canvas);
  return (name) => style.getPropertyValue(`--${name}`).trim();
}

function dataset(series: Series, colour: (name: string) => string): Mixed {
  const own = colour(`chart-${series.colour}`);
  if (series.kind === "line") {
    return {
      type: "line",
      label: series.name,
      data: series.values,
      borderColor: own,
      backgroundColor: own,
      borderWidth: 2,
      pointRadius: 0,
      pointHitRadius: 8,
      tension: 0,
      order: 0,
      stack: "line",
    };
  }
  return {
    type: "bar",
    label: series.name,
    data: series.values,
    backgroundColor: own,
    // A seam between neighbours, for eyes that do not tell their colours apart.
    borderColor: colour("surface"),
    borderWidth: { top: 1, bottom: 0, left: 0, right: 0 },
    categoryPercentage: 0.92,
    barPercentage: 1,
    maxBarThickness: 28,
    order: 1,
    stack: "bar",
  };
}

function config(canvas: HTMLCanvasElement): ChartConfiguration<"bar" | "line", number[], string> {
  const colour = coloursOf(canvas);
  const font = { family: getComputedStyle(canvas).fontFamily, size: 12 };
  return {
    type: "bar",
    data: { labels: [], datasets: [] },
    options: {
      animation: false,
      responsive: true,
      maintainAspectRatio: false,
      interaction: { mode: "index", intersect: false },
      scales: {
        x: {
          stacked: true,
          grid: { display: false },
          border: { color: colour("line") },
          ticks: { color: colour("ink-quiet"), font, maxRotation: 0, autoSkipPadding: 16 },
        },
        y: {
          stacked: true,
          beginAtZero: true,
          suggestedMax: 4,
          grid: { color: colour("line") },
          border: { display: false },
          ticks: { color: colour("ink-quiet"), font, precision: 0, maxTicksLimit: 6 },
        },
      },
      plugins: {
        tooltip: {
          backgroundColor: colour("ink"),
          titleColor: colour("surface"),
          bodyColor: colour("surface"),
          titleFont: font,
          bodyFont: font,
          padding: 10,
          boxPadding: 4,
          // What did not happen then needs no line.
          filter: (item) => (item.parsed.y ?? 0) > 0,
        },
      },
    },
  };
}

export function draw(canvas: HTMLCanvasElement): Drawn {
  // Where nothing can be drawn, the table beside has it all.
  if (canvas.getContext("2d") === null) {
    return { update: () => undefined, destroy: () => undefined };
  }
  let chart = new Chart(canvas, config(canvas));
  let shown: [string[], Series[]] = [[], []];
  let gone = false;
  const fill = (): void => {
    // A canvas outside of the page has no size to draw in.
    if (gone || !canvas.isConnected) return;
    const [labels, series] = shown;
    const colour = coloursOf(canvas);
    chart.data.labels = labels;
    chart.data.datasets = series.map((one) => dataset(one, colour));
    chart.update();
  };
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const repaint = (): void => {
    chart.destroy();
    chart = new Chart(canvas, config(canvas));
    fill();
  };
  dark.addEventListener("change", repaint);
  return {
    update(labels, series) {
      shown = [labels, series];
      fill();
    },
    destroy() {
      gone = true;
      dark.removeEventListener("change", repaint);
      chart.destroy();
    },
  };
}
