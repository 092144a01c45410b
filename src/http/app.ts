// The API's Express app: every resource's table of routes, one after the other, and an answer for everything else.
import express, { type ErrorRequestHandler, type Express } from 'express';
import { GatewayError } from '../errors.js';
import { type CallbackRoutesDeps, callbackRoutes } from './callbacks.js';
import { type CatalogRoutesDeps, catalogRoutes } from './catalog.js';
import { type OperationRoutesDeps, operationRoutes } from './operations.js';
import { type OrderRoutesDeps, orderRoutes } from './orders.js';
import type { Route } from './route.js';
import { answerError, refuseMethod, type ServeDeps, serve } from './serve.js';

export type HttpDeps = ServeDeps & OrderRoutesDeps & CatalogRoutesDeps & CallbackRoutesDeps & OperationRoutesDeps;

/** Every route there is; orders first, because they are what comes most. */
export function allRoutes(deps: HttpDeps): Route[] {
  return [...orderRoutes(deps), ...catalogRoutes(deps), ...callbackRoutes(deps), ...operationRoutes(deps)];
}

/** The app, to be handed to a server of Node's. It opens nothing and closes nothing. */
export function createApp(deps: HttpDeps): Express {
  const app = express();
  app.disable('x-powered-by');
  app.disable('etag');
  app.enable('case sensitive routing');
  const routes = allRoutes(deps);
  for (const route of routes) {
    if (route.method === 'POST') app.post(route.path, serve(deps, route));
    else if (route.method === 'GET') app.get(route.path, serve(deps, route));
    else app.all(route.path, serve(deps, route));
  }
  for (const [path, allowed] of methodsByPath(routes)) app.all(path, refuseMethod(deps, path, allowed));
  app.use((request, response) => {
    answerError(deps, request, response, notFound());
  });
  app.use(((error, request, response, _next) => {
    answerError(deps, request, response, error);
  }) as ErrorRequestHandler);
  return app;
}

/** Path → the methods of its rows, HEAD beside every GET that answers it. */
function methodsByPath(routes: readonly Route[]): Map<string, string[]> {
  const methods = new Map<string, string[]>();
  for (const { method, path, refuses_head } of routes) {
    if (method === 'ALL') continue;
    const own = method === 'GET' && !refuses_head ? ['GET', 'HEAD'] : [method];
    methods.set(path, [...(methods.get(path) ?? []), ...own]);
  }
  return methods;
}

function notFound(): GatewayError {
  return new GatewayError('not_found', 'there is nothing at this path', {
    fix: 'Check the path: the API begins with /v1.',
  });
}
