#include "levity/service/config.hpp"

#include <errno.h>
#include <fmt/format.h>
#include <string.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#define TOML_ENABLE_FORMATTERS 0
#define TOML_EXCEPTIONS 1
#include <toml++/toml.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <span>

#include "base/quoted_text.hpp"
#include "io/host_files.hpp"
#include "levity/io/file.hpp"
#include "levity/io/signal_set.hpp"
#include "service/suggestion.hpp"

namespace levity::inline v0::service {
namespace detail {
namespace {

using levity::detail::quoted_text;

constexpr std::size_t file_bytes_max = 16 << 20;

constexpr std::string_view reserved[] = {"--help", "--config", "--print-config"};

std::vector<std::string> at_commas(std::string_view text) {
  std::vector<std::string> parts;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find(','), text.size());
    parts.emplace_back(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return parts;
}

template <class T>
parsed<T> parse_number(std::string_view text, std::string_view what) {
  T value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error == std::errc::result_out_of_range) return std::unexpected(fmt::format("{} is too large", quoted_text(text)));
  if (text.empty() || error != std::errc() || end != text.data() + text.size()) {
    return std::unexpected(fmt::format("{} is no {}", quoted_text(text), what));
  }
  return value;
}

bool has_text(std::string_view text) noexcept { return text.find_first_not_of(" \t\r\n") != std::string_view::npos; }

// What a node of the file is, for a sentence.
std::string_view kind_of(const toml::node& node) {
  if (node.is_string()) return "a text";
  if (node.is_integer()) return "a whole number";
  if (node.is_floating_point()) return "a number with a fraction";
  if (node.is_boolean()) return "true or false";
  if (node.is_array()) return "a list";
  if (node.is_table()) return "a section";
  return "a date or time";
}

parsed<std::vector<std::string>> values_of(const toml::node& node, const config_field& field) {
  const auto wrong = [&](std::string_view instead) {
    return std::unexpected(fmt::format("it is {}; write {}", kind_of(node), instead));
  };
  switch (field.shape) {
    case config_shape::text:
      if (!node.is_string()) {
        return wrong(field.type == "text" ? std::string("it in quotes") : fmt::format("a {} in quotes", field.type));
      }
      return std::vector<std::string>{node.as_string()->get()};
    case config_shape::whole:
      if (!node.is_integer()) return wrong("a whole number, without quotes");
      return std::vector<std::string>{fmt::format("{}", node.as_integer()->get())};
    case config_shape::real:
      if (node.is_integer()) return std::vector<std::string>{fmt::format("{}", node.as_integer()->get())};
      if (!node.is_floating_point()) return wrong("a number, without quotes");
      return std::vector<std::string>{fmt::format("{}", node.as_floating_point()->get())};
    case config_shape::boolean:
      if (!node.is_boolean()) return wrong("true or false, without quotes");
      return std::vector<std::string>{node.as_boolean()->get() ? "true" : "false"};
    case config_shape::list: break;
  }
  if (!node.is_array()) return wrong("a list of texts: [\"a\", \"b\"]");
  std::vector<std::string> values;
  for (const toml::node& each : *node.as_array()) {
    if (!each.is_string()) return std::unexpected(fmt::format("an entry of the list is {}; write it in quotes", kind_of(each)));
    values.push_back(each.as_string()->get());
  }
  return values;
}

// All of a file; too_large where that is more than one of settings may have.
task<io_result<std::string>> read_all(file* from) {
  std::string text;
  for (;;) {
    constexpr std::size_t piece = 64 << 10;
    const std::size_t before = text.size();
    if (before > file_bytes_max) co_return std::unexpected(io_error{io_failure::too_large});
    text.resize(before + piece);
    const auto got = co_await from->read_at(before, std::as_writable_bytes(std::span(text).subspan(before)));
    if (!got && got.error() != io_failure::eof) co_return std::unexpected(got.error());
    text.resize(before + got.value_or(0));
    if (text.size() == before) co_return std::move(text);
  }
}

}  // namespace

parsed<bool> parse_boolean(std::string_view text) {
  if (text == "true") return true;
  if (text == "false") return false;
  return std::unexpected(fmt::format("{} is neither true nor false", quoted_text(text)));
}

parsed<std::int64_t> parse_signed(std::string_view text) { return parse_number<std::int64_t>(text, "whole number"); }
parsed<std::uint64_t> parse_unsigned(std::string_view text) {
  if (text.starts_with('-')) return std::unexpected(fmt::format("{} is negative", quoted_text(text)));
  return parse_number<std::uint64_t>(text, "whole number");
}

parsed<double> parse_real(std::string_view text) {
  auto read = parse_number<double>(text, "number");
  if (read && !std::isfinite(*read)) return std::unexpected(fmt::format("{} is no finite number", quoted_text(text)));
  return read;
}

std::string toml_quoted(std::string_view text) {
  std::string quoted = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      quoted += '\\';
      quoted += c;
    } else if (const auto code = static_cast<unsigned char>(c); code < 0x20 || code == 0x7f) {
      fmt::format_to(std::back_inserter(quoted), "\\u{:04x}", code);
    } else {
      quoted += c;
    }
  }
  return quoted + "\"";
}

std::string toml_real(double value) {
  std::string text = fmt::format("{}", value);
  if (text.find_first_of(".en") == std::string::npos) text += ".0";
  return text;
}

std::string toml_list(std::span<const std::string> values) {
  std::string text = "[";
  for (const std::string& each : values) text += (text.size() > 1 ? ", " : "") + toml_quoted(each);
  return text + "]";
}

std::string plain(std::string toml) {
  if (toml.size() >= 2 && toml.front() == '"') return toml.substr(1, toml.size() - 2);
  return toml;
}

std::string bounds_text(const std::string* least, const std::string* most) {
  if (least != nullptr && most != nullptr) return fmt::format("{} to {}", *least, *most);
  if (least != nullptr) return fmt::format("at least {}", *least);
  if (most != nullptr) return fmt::format("at most {}", *most);
  return {};
}

std::string not_between(const std::string& value, const std::string* least, const std::string* most) {
  if (least != nullptr && most != nullptr) return fmt::format("{} is not within {} to {}", value, *least, *most);
  return fmt::format("{} is not {}", value, bounds_text(least, most));
}

config_core::config_core(std::vector<config_field> fields, std::string program, std::string summary, const void* defaults)
    : fields_(std::move(fields)),
      program_(std::move(program)),
      summary_(std::move(summary)),
      overlaid_(fields_.size()),
      origins_(fields_.size(), "default") {
  for (const config_field& each : fields_) {
    const bool is_name = each.name.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789_.") == std::string::npos;
    LEVITY_ASSERT(is_name && !each.name.empty(), "the name of a setting is made of a-z, 0-9 and _");
    defaults_.push_back(each.show(defaults));
    LEVITY_ASSERT(each.name != "help" && each.name != "config", "--help and --config are taken: call the setting otherwise");
  }
}

std::string config_core::variable_of(const config_field& field) const {
  std::string name = prefix_;
  for (const char c : field.name) name += c == '.' ? '_' : static_cast<char>(c >= 'a' && c <= 'z' ? c - 'a' + 'A' : c);
  return name;
}

std::expected<void, config_end> config_core::begin(const config_sources& from) {
  prefix_ = from.env_prefix;
  std::string wrong;
  const auto add = [&](const std::string& sentence) { wrong += fmt::format("{}: {}\n", program_, sentence); };

  // Environment.
  const std::string config_variable = prefix_ + "CONFIG";
  std::vector<std::string> variables;
  if (!prefix_.empty()) {
    for (const config_field& each : fields_) variables.push_back(variable_of(each));
    variables.push_back(config_variable);
    const std::vector<std::string_view> names(variables.begin(), variables.end());
    for (const auto& [name, value] : from.environment) {
      if (!name.starts_with(prefix_)) continue;
      if (name == config_variable) {
        file_ = value;
        asked_for_file_ = true;
        continue;
      }
      const auto found = std::ranges::find(variables, name);
      if (found == variables.end()) {
        const std::string_view meant = nearest(name, names);
        if (!meant.empty())
          remarks_.push_back(fmt::format("{}: nobody reads the variable {}; did you mean {}?", program_, name, meant));
        continue;
      }
      const auto at = static_cast<std::size_t>(found - variables.begin());
      overlaid_[at] = given{fields_[at].shape == config_shape::list ? at_commas(value) : std::vector<std::string>{value},
                            "environment " + name};
    }
  }

  // Flags.
  CLI::App app;
  app.set_help_flag();
  app.allow_extras();
  bool wants_help = false;
  std::string file;
  app.add_flag("-h,--help", wants_help);
  app.add_flag("--print-config", wants_print_);
  CLI::Option* const file_option = app.add_option("--config", file);
  std::vector<CLI::Option*> options;
  // The library's own conversion is not used: one parser for all sources. It must be given somewhere to put values all the same.
  std::vector<std::vector<std::string>> unused(fields_.size());
  for (std::size_t at = 0; at < fields_.size(); at++) {
    const config_field& each = fields_[at];
    if (each.secret) {
      options.push_back(nullptr);
    } else if (each.shape == config_shape::boolean) {
      options.push_back(app.add_flag("--" + each.name)->disable_flag_override(false)->multi_option_policy(
          CLI::MultiOptionPolicy::TakeLast));
    } else {
      options.push_back(app.add_option("--" + each.name, unused[at])->expected(1)->multi_option_policy(
          CLI::MultiOptionPolicy::TakeLast));
    }
  }
  try {
    // It takes them from the back.
    app.parse(std::vector<std::string>(from.arguments.rbegin(), from.arguments.rend()));
  } catch (const CLI::ParseError& error) {
    add(error.what());
    return std::unexpected(config_end{std::move(wrong), 2});
  }
  if (wants_help) return std::unexpected(config_end{help(), 0});
  if (file_option->count() != 0) {
    file_ = file;
    asked_for_file_ = true;
  }
  if (!asked_for_file_) file_ = from.default_file;
  std::vector<std::string> flags(std::begin(reserved), std::end(reserved));
  for (std::size_t at = 0; at < fields_.size(); at++) {
    const config_field& each = fields_[at];
    if (options[at] == nullptr) continue;
    flags.push_back("--" + each.name);
    if (options[at]->count() == 0) continue;
    const std::string value = options[at]->results().back();
    overlaid_[at] = given{each.shape == config_shape::list ? at_commas(value) : std::vector<std::string>{value},
                          "flag --" + each.name};
  }
  const std::vector<std::string_view> names(flags.begin(), flags.end());
  for (const std::string& extra : app.remaining()) {
    const std::string name = extra.substr(0, extra.find('='));
    if (!name.starts_with("-")) {
      add(fmt::format("{} belongs to no flag", quoted_text(extra)));
      continue;
    }
    const auto secret =
        std::ranges::find_if(fields_, [&](const config_field& each) { return each.secret && "--" + each.name == name; });
    if (secret != fields_.end()) {
      add(fmt::format("{} is a secret and no flag: a command line is seen by everybody on the machine; put it into the file{}",
                      name, prefix_.empty() ? std::string() : " or into " + variable_of(*secret)));
      break;  // what follows is its value
    }
    add(fmt::format("there is no flag {}{}", quoted_text(name), suggestion(name, names)));
  }
  if (!wrong.empty()) return std::unexpected(config_end{std::move(wrong), 2});
  return {};
}

std::string config_core::cut_short(std::string_view text) const {
  if (!had_text_ || has_text(text)) return {};
  return fmt::format("{}: it is empty and was not before, as a file is that is being written in place; write another one and "
                     "rename it over this, or leave a comment in it if the defaults are meant", file_.empty() ? program_ : file_);
}

std::expected<void, std::string> config_core::fill(void* whole, std::string_view text) {
  had_text_ = has_text(text);
  std::string wrong;
  const auto add = [&](const std::string& sentence) { wrong += (wrong.empty() ? "" : "\n") + sentence; };
  std::fill(origins_.begin(), origins_.end(), "default");
  const auto put = [&](std::size_t at, std::span<const std::string> values, const std::string& place) {
    config_field& field = fields_[at];
    if (field.shape != config_shape::list && values.size() != 1) return add(fmt::format("{}: {} has no value", place, field.name));
    if (auto read = field.parse(whole, values); !read) {
      // What the parser says may quote the value.
      return add(field.secret ? fmt::format("{}: {} cannot be read; its value is not shown, for it is a secret", place, field.name)
                              : fmt::format("{}: {}: {}", place, field.name, read.error()));
    }
    origins_[at] = place;
  };

  if (!text.empty()) {
    toml::table table;
    try {
      table = toml::parse(text, file_);
    } catch (const toml::parse_error& error) {
      return std::unexpected(
          fmt::format("{}:{}: cannot be read as TOML: {}", file_, error.source().begin.line, error.description()));
    }
    std::vector<std::string_view> names;
    for (const config_field& each : fields_) names.push_back(each.name);
    const auto walk = [&](const auto& self, const toml::table& of, const std::string& prefix) -> void {
      for (const auto& [key, node] : of) {
        const std::string name = prefix + std::string(key.str());
        const std::string place = fmt::format("{}:{}", file_, key.source().begin.line);
        const auto found = std::ranges::find(fields_, name, &config_field::name);
        if (found != fields_.end()) {
          const auto values = values_of(node, *found);
          if (!values) {
            add(fmt::format("{}: {}: {}", place, name, values.error()));
          } else {
            put(static_cast<std::size_t>(found - fields_.begin()), *values, place);
          }
          continue;
        }
        const bool is_section =
            std::ranges::any_of(fields_, [&](const config_field& each) { return each.name.starts_with(name + "."); });
        if (is_section && node.is_table()) {
          self(self, *node.as_table(), name + ".");
          continue;
        }
        if (is_section) {
          add(fmt::format("{}: {} is a section, not a value; write [{}] above its settings", place, name, name));
          continue;
        }
        std::vector<std::string> sections;
        for (const config_field& each : fields_) {
          if (const std::size_t dot = each.name.rfind('.'); dot != std::string::npos) sections.push_back(each.name.substr(0, dot));
        }
        std::vector<std::string_view> candidates = names;
        if (node.is_table()) candidates.assign(sections.begin(), sections.end());
        add(fmt::format("{}: there is no {} {}{}", place, node.is_table() ? "section" : "setting", quoted_text(name),
                        suggestion(name, candidates)));
      }
    };
    walk(walk, table, "");
  }
  for (std::size_t at = 0; at < fields_.size(); at++) {
    if (overlaid_[at]) put(at, overlaid_[at]->values, overlaid_[at]->place);
  }
  if (!wrong.empty()) return std::unexpected(std::move(wrong));
  return {};
}

std::string config_core::origin_of(std::string_view name) const {
  const auto found = std::ranges::find(fields_, name, &config_field::name);
  return found == fields_.end() ? std::string() : origins_[static_cast<std::size_t>(found - fields_.begin())];
}

std::string config_core::print(const void* whole) const {
  std::vector<std::string> left;
  std::size_t width = 0;
  for (const config_field& each : fields_) {
    left.push_back(each.secret ? fmt::format("# {} is a secret", each.name) : fmt::format("{} = {}", each.name, each.show(whole)));
    if (left.back().size() <= 60) width = std::max(width, left.back().size());
  }
  std::string text;
  for (std::size_t at = 0; at < fields_.size(); at++) {
    fmt::format_to(std::back_inserter(text), "{:<{}}  # {}\n", left[at], width, origins_[at]);
  }
  return text;
}

std::string config_core::help() const {
  std::string text = fmt::format("usage: {} [--config FILE] [--print-config] [--SETTING VALUE]...\n", program_);
  if (!summary_.empty()) text += "  " + summary_ + "\n";
  text += fmt::format(
      "\n  --config FILE    settings as TOML; a flag goes before a variable of the environment, that before the file{}\n"
      "  --print-config   print every setting and where it comes from\n  --help           this\n",
      prefix_.empty() ? std::string() : fmt::format("; also {}CONFIG", prefix_));
  std::string section = "\n";  // none is called so
  for (const config_field& each : fields_) {
    const std::size_t dot = each.name.rfind('.');
    const std::string in = dot == std::string::npos ? std::string() : each.name.substr(0, dot);
    if (in != section) {
      text += in.empty() ? "\n" : fmt::format("\n[{}]\n", in);
      section = in;
    }
    text += each.secret ? fmt::format("  {} (secret, no flag)", each.name) : fmt::format("  --{}", each.name);
    if (each.shape != config_shape::boolean) text += fmt::format("  <{}>", each.type);
    text += "\n";
    if (!each.doc.empty()) text += fmt::format("      {}\n", each.doc);
    std::string more;
    const auto say = [&](const std::string& what) { more += (more.empty() ? "      " : "; ") + what; };
    if (!each.bounds.empty()) say(each.bounds + (each.unit.empty() ? "" : " " + each.unit));
    if (each.bounds.empty() && !each.unit.empty()) say("in " + each.unit);
    if (!each.secret) say("default " + defaults_[static_cast<std::size_t>(&each - fields_.data())]);
    if (!prefix_.empty()) say(variable_of(each));
    if (each.run_time) say("may change at run time");
    if (!more.empty()) text += more + "\n";
  }
  return text;
}

std::vector<config_change> config_core::merge(void* fresh, const void* old, const config_core& before) {
  std::vector<config_change> changes;
  for (std::size_t at = 0; at < fields_.size(); at++) {
    const config_field& each = fields_[at];
    if (each.equal(fresh, old)) continue;
    const auto show = [&](const void* of) { return each.secret ? std::string("(secret)") : each.show(of); };
    changes.push_back({each.name, show(old), show(fresh), each.run_time});
    if (each.run_time) continue;
    each.copy(fresh, old);
    origins_[at] = before.origins_[at];
  }
  return changes;
}

std::expected<std::string, config_end> config_core::read_file_blocking() const {
  if (file_.empty()) return std::string();
  if (levity::detail::host_files() != nullptr) {  // before lv::run on a simulated host: its disk, not that of the machine
    auto read = levity::detail::read_file_now(file_.c_str(), file_bytes_max);
    if (read) return *std::move(read);
    const auto why = static_cast<int>(-read.error());
    if (why == ENOENT && !asked_for_file_) return std::string();
    if (why == EFBIG) return std::unexpected(config_end{fmt::format("{}: {} has more than 16 MiB\n", program_, file_), 2});
    return std::unexpected(config_end{fmt::format("{}: cannot read {}: {}\n", program_, file_, ::strerror(why)), 2});
  }
  std::FILE* const opened = std::fopen(file_.c_str(), "re");
  if (opened == nullptr) {
    if (errno == ENOENT && !asked_for_file_) return std::string();
    return std::unexpected(config_end{fmt::format("{}: cannot read {}: {}\n", program_, file_, ::strerror(errno)), 2});
  }
  std::string text;
  char piece[4096];
  for (std::size_t got = 0; (got = std::fread(piece, 1, sizeof piece, opened)) != 0 && text.size() <= file_bytes_max;) {
    text.append(piece, got);
  }
  const bool failed = std::ferror(opened) != 0;
  std::fclose(opened);
  if (failed) return std::unexpected(config_end{fmt::format("{}: cannot read {}\n", program_, file_), 2});
  if (text.size() > file_bytes_max)
    return std::unexpected(config_end{fmt::format("{}: {} has more than 16 MiB\n", program_, file_), 2});
  return text;
}

task<std::expected<std::string, config_end>> config_core::read_file() const {
  if (file_.empty()) co_return std::string();
  auto opened = co_await file::open(file_, {.read = true});
  if (!opened) {
    const int why = opened.error().code();
    if (why == ENOENT && !asked_for_file_) co_return std::string();
    co_return std::unexpected(config_end{fmt::format("{}: cannot read {}: {}\n", program_, file_, ::strerror(why)), 2});
  }
  const auto text = co_await read_all(&*opened);
  if (text) co_return *text;
  if (text.error() != io_failure::too_large) {
    co_return std::unexpected(config_end{fmt::format("{}: cannot read {}\n", program_, file_), 2});
  }
  co_return std::unexpected(config_end{fmt::format("{}: {} has more than 16 MiB\n", program_, file_), 2});
}

task<std::expected<std::string, std::string>> read_config_file(std::string path, bool may_lack) {
  if (path.empty()) co_return std::unexpected(std::string("there is no file of settings to read again"));
  auto opened = co_await file::open(path, {.read = true});
  if (!opened && may_lack && opened.error().code() == ENOENT) co_return std::string();
  if (!opened) co_return std::unexpected(fmt::format("{}: {}", path, opened.error().message()));
  auto text = co_await read_all(&*opened);
  if (text) co_return std::move(*text);
  if (text.error() == io_failure::too_large) co_return std::unexpected(fmt::format("{}: it has more than 16 MiB", path));
  co_return std::unexpected(fmt::format("{}: {}", path, text.error().message()));
}

task<> on_each_signal(int signal, std::function<task<>()> act) {
  auto signals = signal_set::open({signal});
  if (!signals)
    throw std::system_error(std::error_code(signals.error().code(), std::generic_category()), signals.error().message());
  for (;;) {
    const auto came = co_await signals->next();
    if (!came) co_return;
    co_await act();
  }
}

}  // namespace detail

config_sources config_sources::of_process(int argc, const char* const* argv, std::string env_prefix, std::string default_file) {
  config_sources made;
  made.env_prefix = std::move(env_prefix);
  made.default_file = std::move(default_file);
  for (int at = 1; at < argc; at++) made.arguments.emplace_back(argv[at]);
  for (char** each = ::environ; each != nullptr && *each != nullptr; each++) {
    const std::string_view entry = *each;
    const std::size_t equals = entry.find('=');
    if (equals != std::string_view::npos) made.environment.emplace_back(entry.substr(0, equals), entry.substr(equals + 1));
  }
  return made;
}

int config_end::tell() const {
  std::fputs(text.c_str(), code == 0 ? stdout : stderr);
  return code;
}

}  // namespace levity::service
