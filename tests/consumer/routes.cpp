// Needs the component http at link time.

#include <levity/http/router.hpp>
#include <levity/http/status.hpp>

int main() {
  levity::http::router routes;
  (void)routes;
}
