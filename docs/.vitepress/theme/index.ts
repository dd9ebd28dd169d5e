import type { Theme } from 'vitepress';
import DefaultTheme from 'vitepress/theme';
import { defineAsyncComponent } from 'vue';

export default {
  extends: DefaultTheme,
  enhanceApp({ app }) {
    // By name, so that the page stays Markdown that can be read in the repository.
    app.component(
      'SimulationPage',
      defineAsyncComponent(() => import('./simulation/SimulationPage.vue')),
    );
  },
} satisfies Theme;
