// The six dashboards, in the order of the menu.
import type { DashboardSpec } from '../spec.js';
import { overview } from './overview.js';
import { platform } from './platform.js';
import { procurement } from './procurement.js';
import { supplierDetail } from './supplier-detail.js';
import { suppliers } from './suppliers.js';
import { vault } from './vault.js';

export const DASHBOARDS: readonly DashboardSpec[] = [overview, suppliers, supplierDetail, vault, procurement, platform];
