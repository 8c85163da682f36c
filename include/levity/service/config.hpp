#pragma once

// config: the settings of a program, from its flags, its environment, a TOML file and the defaults, in this order; and which of
// them it was.
//
// A setting `server.port` of a program with the prefix ORDERS_ is the flag --server.port 8080, the variable ORDERS_SERVER_PORT, and
// in the file
//
//     [server]
//     port = 8080
//
// Nothing is passed over: an unknown key of the file or an unknown flag is an error with its place and what was probably meant. An
// unknown variable is not, because clusters put variables of any name into an environment; one that is nearly the name of a
// setting is remarked.
//
// A reload takes the file alone anew: flags and environment cannot change. It is all or nothing, and what may not change at run
// time stays as it is and is told of.

#include <cstddef>
#include <expected>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "levity/base/error.hpp"
#include "levity/service/config_description.hpp"
#include "levity/sync/watch.hpp"
#include "levity/task/task.hpp"

namespace levity::inline v0::service {

/// Where settings come from.
struct config_sources {
  std::string env_prefix{};            ///< in front of variables: "ORDERS_"; empty: no variables are looked at
  std::string default_file{};          ///< read if it is there and --config names none; empty: none
  std::vector<std::string> arguments{};  ///< without the program's name
  std::vector<std::pair<std::string, std::string>> environment{};  ///< names and values

  /// Those of this process.
  static config_sources of_process(int argc, const char* const* argv, std::string env_prefix, std::string default_file = {});
};

/// Why a program does not go on after it has looked at its settings.
struct config_end {
  std::string text;  ///< for standard output if code is 0, else standard error; several lines, the last one ended
  int code = 2;      ///< 0: it was asked for help or for the settings; 2: something is wrong with them

  /// Writes the text where it belongs and returns the code: `return end.tell();` in main.
  [[nodiscard]] int tell() const;
};

/// What a reload did with one setting that was not as before. Values are "(secret)" where they are.
struct config_change {
  std::string name;      ///< which
  std::string from;      ///< before, as TOML
  std::string to;        ///< in the file
  bool applied = false;  ///< false: it may not change while the program runs, and has not

  friend bool operator==(const config_change&, const config_change&) = default;
};

namespace detail {

// All that does not depend on the type.
class config_core {
public:
  // `defaults`: an object as it is made.
  config_core(std::vector<config_field> fields, std::string program, std::string summary, const void* defaults);

  // Reads flags and environment, and says which file. `whole` is an object as it is made.
  std::expected<void, config_end> begin(const config_sources& from);
  // Why this cannot be what the file has come to; empty: it can.
  [[nodiscard]] std::string cut_short(std::string_view text) const;
  // Lays the text of the file, then environment and flags, over an object as it is made. The error: lines, the last one not ended.
  std::expected<void, std::string> fill(void* whole, std::string_view text);
  [[nodiscard]] std::string print(const void* whole) const;
  [[nodiscard]] std::string help() const;
  std::vector<config_change> merge(void* fresh, const void* old, const config_core& before);

  [[nodiscard]] const std::string& file() const noexcept { return file_; }
  // Nobody named the file, and there was nothing in it either: that it is not there is no news.
  [[nodiscard]] bool may_lack_file() const noexcept { return !asked_for_file_ && !had_text_ && !file_.empty(); }
  [[nodiscard]] bool wants_print() const noexcept { return wants_print_; }
  [[nodiscard]] const std::vector<std::string>& remarks() const noexcept { return remarks_; }
  [[nodiscard]] std::string origin_of(std::string_view name) const;
  [[nodiscard]] std::expected<std::string, config_end> read_file_blocking() const;
  [[nodiscard]] task<std::expected<std::string, config_end>> read_file() const;

private:
  struct given {
    std::vector<std::string> values;
    std::string place;  // "flag --x", "environment X"
  };

  [[nodiscard]] std::string variable_of(const config_field& field) const;

  std::vector<config_field> fields_;
  std::string program_, summary_, prefix_;
  std::vector<std::string> defaults_;  // by field, as TOML
  std::string file_;
  bool asked_for_file_ = false;
  bool wants_print_ = false;
  bool had_text_ = false;  // the file, when it was read last
  std::vector<std::optional<given>> overlaid_;  // by flag or environment, by field
  std::vector<std::string> origins_;            // by field
  std::vector<std::string> remarks_;
};

// Its text; that of one that is not there, where it need not be, is empty. The error: one sentence.
task<std::expected<std::string, std::string>> read_config_file(std::string path, bool may_lack);

}  // namespace detail

/// The settings in force. get() and changed() from any thread; reloads one at a time.
template <class T>
class config {
public:
  /// What is in force at the start: reads the file, blocking; for main, before there are tasks. `described` is copied.
  static std::expected<std::unique_ptr<config>, config_end> load(const config_description<T>& described,
                                                                 const config_sources& from) {
    auto made = std::unique_ptr<config>(new config(described));
    if (auto begun = made->core_.begin(from); !begun) return std::unexpected(std::move(begun.error()));
    auto text = made->core_.read_file_blocking();
    if (!text) return std::unexpected(std::move(text.error()));
    if (auto started = made->start(*text); !started) return std::unexpected(std::move(started.error()));
    return made;
  }

  /// The same for a main task, which waits for the file as any task does: by the runtime's files, so in a simulated run by those.
  static task<std::expected<std::unique_ptr<config>, config_end>> load_inside(config_description<T> described,
                                                                              config_sources from) {
    auto made = std::unique_ptr<config>(new config(described));
    if (auto begun = made->core_.begin(from); !begun) co_return std::unexpected(std::move(begun.error()));
    auto text = co_await made->core_.read_file();
    if (!text) co_return std::unexpected(std::move(text.error()));
    if (auto started = made->start(*text); !started) co_return std::unexpected(std::move(started.error()));
    co_return std::move(made);
  }

  /// The settings now; what is returned does not change. A lock for a few instructions.
  [[nodiscard]] std::shared_ptr<const T> get() const { return now_.get().value; }

  /// To follow changes by: see lv::watch.
  [[nodiscard]] watch<T>& versions() noexcept { return now_; }

  /// Reads the file once more. A file that cannot be read, or is wrong, changes nothing: the error is one sentence a line, the last
  /// one not ended. Wrong is also one with nothing in it where there was something: who writes in place (an editor, cp) empties it
  /// first. A default file that was not there before and is not there now is no error: the defaults stay.
  task<std::expected<std::vector<config_change>, std::string>> reload() {
    auto text = co_await detail::read_config_file(core_.file(), core_.may_lack_file());
    if (!text) co_return std::unexpected(std::move(text.error()));
    co_return reload_from(*text);
  }

  /// The same with the text of a file from elsewhere. Does not block.
  std::expected<std::vector<config_change>, std::string> reload_from(std::string_view text) {
    if (std::string why = core_.cut_short(text); !why.empty()) return std::unexpected(std::move(why));
    T fresh{};
    detail::config_core attempt = core_;
    const std::shared_ptr<const T> old = get();
    if (auto read = fill_by(attempt, fresh, text); !read) return std::unexpected(std::move(read.error()));
    std::vector<config_change> changes = attempt.merge(&fresh, old.get(), core_);
    // With what may not change put back the rest must still go together.
    if (auto good = described_.judge(fresh); !good) return std::unexpected(std::move(good.error()));
    core_ = std::move(attempt);
    if (!changes.empty()) (void)now_.set(std::move(fresh));
    return changes;
  }

  /// Every setting with where it comes from, as TOML; secrets are not in it. Not beside a reload.
  [[nodiscard]] std::string print() const { return core_.print(get().get()); }
  /// Where a setting comes from: "default", "orders.toml:12", "environment ORDERS_PORT", "flag --port".
  [[nodiscard]] std::string origin_of(std::string_view name) const { return core_.origin_of(name); }
  /// Sentences about what was probably not meant. Of the start.
  [[nodiscard]] const std::vector<std::string>& remarks() const noexcept { return core_.remarks(); }
  /// The file; empty if there is none.
  [[nodiscard]] const std::string& file() const noexcept { return core_.file(); }

private:
  explicit config(const config_description<T>& described)
      : config(described, T{}) {}
  config(const config_description<T>& described, const T& defaults)
      : described_(described), core_(described.fields(), described.program(), described.summary(), &defaults), now_(defaults) {}

  std::expected<void, config_end> start(std::string_view text) {
    T first{};
    if (auto read = fill(first, text); !read) return std::unexpected(config_end{read.error() + "\n", 2});
    if (core_.wants_print()) return std::unexpected(config_end{core_.print(&first), 0});
    (void)now_.set(std::move(first));
    return {};
  }
  std::expected<void, std::string> fill(T& whole, std::string_view text) { return fill_by(core_, whole, text); }
  std::expected<void, std::string> fill_by(detail::config_core& core, T& whole, std::string_view text) {
    if (auto read = core.fill(&whole, text); !read) return read;
    return described_.judge(whole);
  }

  config_description<T> described_;
  detail::config_core core_;
  watch<T> now_;
};

/// What reload_on_signal() tells of: the changes, or the lines of the error, the last one not ended. No more than one at a time.
using reload_told = void (*)(const std::expected<std::vector<config_change>, std::string>&);

namespace detail {

// Waits for one signal after the other and calls `act`, until it is cancelled.
task<> on_each_signal(int signal, std::function<task<>()> act);

}  // namespace detail

/// One reload, told of.
template <class T>
task<> reload_and_tell(config<T>* settings, reload_told told) {
  const auto done = co_await settings->reload();
  if (told != nullptr) told(done);
}

/// Reloads the settings whenever the process gets `signal` (SIGHUP), until the task is cancelled. `told` hears of each. The
/// settings outlive it.
template <class T>
task<> reload_on_signal(config<T>* settings, int signal, reload_told told) {
  std::function<task<>()> act = [settings, told] { return reload_and_tell(settings, told); };
  co_await detail::on_each_signal(signal, std::move(act));
}

}  // namespace levity::service
