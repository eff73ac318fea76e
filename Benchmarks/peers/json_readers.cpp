// Reads the matrix of {"image_features": [[...], ...]} into single-precision numbers, by simdjson and by strtof.
//
//     c++ -O3 -o json_readers json_readers.cpp -lsimdjson
//     ./json_readers ondemand|dom|strtof FILE REPEATS [OUT]
//
// Prints one JSON object with the seconds of each repetition; OUT gets the numbers.
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <simdjson.h>
#include <string>
#include <vector>

static void read_ondemand(const simdjson::padded_string &text, simdjson::ondemand::parser &parser, std::vector<float> &out) {
    simdjson::ondemand::document document = parser.iterate(text);
    for (simdjson::ondemand::array row : document["image_features"].get_array())
        for (double value : row) out.push_back(static_cast<float>(value));
}

static void read_dom(const simdjson::padded_string &text, simdjson::dom::parser &parser, std::vector<float> &out) {
    simdjson::dom::element document = parser.parse(text);
    for (simdjson::dom::array row : document["image_features"].get_array())
        for (double value : row) out.push_back(static_cast<float>(value));
}

static void read_strtof(const char *text, std::vector<float> &out) {
    const char *at = std::strchr(text, ':') + 1;
    while (*at && *at != '}') {
        if (*at == '-' || (*at >= '0' && *at <= '9')) {
            char *end;
            out.push_back(std::strtof(at, &end));
            at = end;
        } else {
            at++;
        }
    }
}

int main(int count, char **arguments) {
    if (count < 4) return std::fprintf(stderr, "json_readers ondemand|dom|strtof FILE REPEATS [OUT]\n"), 2;
    std::string how = arguments[1];
    simdjson::padded_string text;
    if (simdjson::padded_string::load(arguments[2]).get(text)) return std::perror(arguments[2]), 1;
    std::string terminated(text.data(), text.size());
    simdjson::ondemand::parser ondemand;
    simdjson::dom::parser dom;
    std::vector<float> numbers;
    std::string times;
    for (long turn = -1; turn < std::atol(arguments[3]); turn++) {
        numbers.clear();
        auto start = std::chrono::steady_clock::now();
        if (how == "ondemand") read_ondemand(text, ondemand, numbers);
        else if (how == "dom") read_dom(text, dom, numbers);
        else read_strtof(terminated.c_str(), numbers);
        std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
        if (turn >= 0) times += (times.empty() ? "" : ",") + std::to_string(took.count());
    }
    if (count > 4) {
        std::FILE *out = std::fopen(arguments[4], "wb");
        if (!out) return std::perror(arguments[4]), 1;
        std::fwrite(numbers.data(), sizeof(float), numbers.size(), out);
        std::fclose(out);
    }
    std::printf("{\"seconds\":[%s],\"bytes\":%zu,\"elements\":%zu,\"implementation\":\"%s\"}\n", times.c_str(), text.size(),
                numbers.size(), simdjson::get_active_implementation()->name().c_str());
}
