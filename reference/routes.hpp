// routes: from HTTP to the service and back: fields, ids of requests, who may come in, which version answers.
//
//   POST /orders, GET /orders, GET and PATCH /orders/{id}, GET /healthz     service.hpp
//   GET /stats                                                              stats.hpp
//   GET /healthz/live, /healthz/ready, /healthz/startup                     200 or 503, with the reason
#pragma once

#include <levity/http/server.hpp>
#include <levity/resilience/load_shedder.hpp>
#include <levity/service/canary.hpp>
#include <levity/service/health.hpp>
#include <levity/service/trace_context.hpp>

#include "reference/service.hpp"
#include "reference/stats.hpp"
#include "reference/store.hpp"

namespace orders {

/// What requests are served by. All outlive the server.
struct served_by {
  service& orders;
  store& kept;
  levity::load_shedder& door;  ///< of new orders
  levity::service::health& probes;
  levity::service::id_source& ids;
  stats_sources figures;  ///< `versions` of it also decides who gets which rendering of an order
};

/// Adds all routes. `by` outlives the server.
void add_routes(levity::http::server& server, served_by& by);

}  // namespace orders
