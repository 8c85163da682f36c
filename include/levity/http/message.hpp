#pragma once

// Both sides of a conversation, and the words they are made of.

#include "levity/http/field.hpp"
#include "levity/http/limits.hpp"
#include "levity/http/method.hpp"
#include "levity/http/query.hpp"
#include "levity/http/request.hpp"
#include "levity/http/response.hpp"
#include "levity/http/status.hpp"
