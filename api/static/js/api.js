// The service's HTTP API: requests out, answers and errors in.

import { readEvents } from "./events.js";

/** An error that can be shown: `code` and `message` are the service's, or of the way to it. */
export class ServiceError extends Error {
  constructor(code, message = "", detail = null) {
    super(message);
    this.code = code;
    this.detail = detail;
  }
}

/**
 * Asks, and calls `on.hits`, `on.delta` as they come; resolves to the checked answer.
 * Rejects with ServiceError, or AbortError when `signal` stopped it.
 */
export async function ask(request, on, signal) {
  const response = await send("/api/ask", { ...request, stream: true }, signal);
  let answer = null;
  try {
    for await (const { name, data } of readEvents(response.body)) {
      if (name === "hits") on.hits(data);
      else if (name === "delta") on.delta(data.text);
      else if (name === "answer") answer = data;
      else if (name === "error") throw errorOf(data);
      else if (name === "done" && answer) return answer;
    }
  } catch (error) {
    if (error instanceof ServiceError || error.name === "AbortError") throw error;
    throw new ServiceError("cut_off");
  }
  throw new ServiceError("cut_off");
}

export async function sendFeedback(answerId, verdict, comment) {
  await send("/api/feedback", { answer_id: answerId, verdict, comment: comment || null });
}

export async function listDocuments() {
  const response = await reach("/api/documents");
  return (await response.json()).documents;
}

/** A note's page as a document; only its own part of the page is meant to be used. */
export async function fetchNotePage(url) {
  const response = await reach(url);
  return new DOMParser().parseFromString(await response.text(), "text/html");
}

export async function isReady() {
  try {
    return (await fetch("/readyz", { cache: "no-store" })).ok;
  } catch {
    return false;
  }
}

async function send(path, body, signal) {
  return reach(path, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(body),
    signal,
  });
}

async function reach(path, options = {}) {
  let response;
  try {
    response = await fetch(path, options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ServiceError("offline");
  }
  if (response.ok) return response;
  if (response.status === 401) location.assign(`/sign-in?next=${encodeURIComponent(location.pathname + location.search)}`);
  const body = await response.json().catch(() => null);
  throw body?.error ? errorOf(body) : new ServiceError("unexpected");
}

function errorOf({ error }) {
  return new ServiceError(error.code, error.message, error.detail ?? null);
}
