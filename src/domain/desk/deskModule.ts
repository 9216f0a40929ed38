import type { Module } from '../module.ts';
import { DESK_EVENT_TYPES } from './deskEventTypes.ts';

/** The bundled service desk: clients, tickets with comments, assets. */
export const deskModule: Module = { name: 'desk', eventTypes: DESK_EVENT_TYPES, actions: [] };
