import type { Module } from '../module.ts';
import { DESK_EVENT_TYPES } from './deskEventTypes.ts';
import { ticketActions } from './ticketActions.ts';
import { upsertActions } from './upsertActions.ts';

/** The bundled service desk: clients, tickets with comments, assets. */
export const deskModule: Module = {
  name: 'desk',
  eventTypes: DESK_EVENT_TYPES,
  actions: [...ticketActions, ...upsertActions],
};
