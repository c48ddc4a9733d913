import { createRoot } from 'react-dom/client';
import { App } from './app';
import { start } from './lib/session';
import { startTheme } from './lib/theme';
import './style/base.css';
import './style/parts.css';
import './style/forms.css';
import './style/pages.css';
import './style/print.css';

startTheme();
void start();
const root = document.getElementById('root');
if (root !== null) {
  createRoot(root).render(<App />);
}
