// SPDX-License-Identifier: GPL-2.0-or-later
// Templates, lambdas, virtual functions and much of the standard library, for those who tell
// addresses by name: tests/scenario/symbolize.py compares them.
#include <algorithm>
#include <functional>
#include <iostream>
#include <map>
#include <memory>
#include <numeric>
#include <regex>
#include <set>
#include <sstream>
#include <string>
#include <unordered_map>
#include <variant>
#include <vector>

namespace {
template <typename T, int N> struct Tower {
	Tower<T, N - 1> below;
	std::vector<T> values;
	template <typename F> auto walk(F &&f) const
	{
		auto sum = below.walk(f);
		for (const auto &value : values)
			sum += f(value);
		return sum;
	}
	void fill(int n)
	{
		below.fill(n + 1);
		for (int i = 0; i < n; i++)
			values.push_back(T(i * N));
	}
};
template <typename T> struct Tower<T, 0> {
	template <typename F> auto walk(F &&f) const { return f(T()); }
	void fill(int) {}
};
struct Base {
	virtual ~Base() = default;
	virtual std::string name(int n) const = 0;
};
template <int N> struct Kind : Base {
	std::string name(int n) const override
	{
		std::ostringstream out;
		out << "kind " << N << ' ' << n;
		return out.str();
	}
};
using Value = std::variant<int, double, std::string>;
}

static const auto shout = [](const std::string &text) {
	std::string loud;
	std::transform(text.begin(), text.end(), std::back_inserter(loud),
		       [](char c) { return char(std::toupper(c)); });
	return loud;
};

static int parse(const std::string &text)
{
	std::regex expression("([a-z]+)([0-9]*)");
	std::smatch match;
	return std::regex_match(text, match, expression) ? int(match.size()) : 0;
}

int main(int argc, char **argv)
{
	Tower<double, 6> tower;
	tower.fill(argc * 3);
	double sum = tower.walk([argc](double value) { return value * argc; });
	std::map<std::string, std::vector<int>> map;
	std::unordered_map<int, std::string> names;
	std::vector<std::unique_ptr<Base>> kinds;
	kinds.push_back(std::make_unique<Kind<1>>());
	kinds.push_back(std::make_unique<Kind<2>>());
	for (int i = 0; i < 100 * argc; i++) {
		names[i] = kinds[i % 2]->name(i);
		map[names[i]].push_back(i);
	}
	std::vector<Value> values{argc, 2.5, std::string("three")};
	for (auto &value : values)
		std::visit([&](auto &&what) { std::cout << what << '\n'; }, value);
	std::vector<std::string> sorted;
	for (auto &[key, list] : map)
		sorted.push_back(key + std::to_string(std::accumulate(list.begin(), list.end(), 0)));
	std::sort(sorted.begin(), sorted.end(), std::greater<>());
	std::stable_sort(sorted.begin(), sorted.end());
	std::function<int(int)> twice = [&](int n) { return n ? twice(n - 1) * 2 : parse(argv[0]); };
	std::cout << shout(argv[0]) << sum << sorted.front() << twice(5) << '\n';
}
