// What the report uses of Apache ECharts; everything else stays out of the page.
import * as core from "echarts/core";
import { CustomChart, LineChart } from "echarts/charts";
import { GridComponent, TooltipComponent } from "echarts/components";
import { CanvasRenderer, SVGRenderer } from "echarts/renderers";

core.use([LineChart, CustomChart, GridComponent, TooltipComponent, CanvasRenderer, SVGRenderer]);
export const { getInstanceByDom, init, version } = core;
